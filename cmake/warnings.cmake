# SPDX-License-Identifier: Apache-2.0
# lockstep::warnings carries the flags that every target of ours is compiled with.
add_library(lockstep_warnings INTERFACE)
add_library(lockstep::warnings ALIAS lockstep_warnings)
target_compile_options(lockstep_warnings INTERFACE
  "$<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wnon-virtual-dtor;-Woverloaded-virtual>"
  $<$<AND:$<COMPILE_LANGUAGE:C,CXX>,$<BOOL:${LOCKSTEP_WERROR}>>:-Werror>
  # Lockstep arithmetic: a*b+c is fused only where the source says so, on every compiler.
  $<$<COMPILE_LANGUAGE:C,CXX>:-ffp-contract=off>
  # What nvcc generates is not pedantic.
  "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wshadow;--fmad=false>"
  $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${LOCKSTEP_WERROR}>>:-Werror=all-warnings>)
target_include_directories(lockstep_warnings INTERFACE "${PROJECT_SOURCE_DIR}")
if(LOCKSTEP_SANITIZE)
  target_compile_options(lockstep_warnings INTERFACE
    "$<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${LOCKSTEP_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=all>")
  target_compile_definitions(lockstep_warnings INTERFACE LOCKSTEP_SANITIZED=1)
  target_link_options(lockstep_warnings INTERFACE -fsanitize=${LOCKSTEP_SANITIZE})
  if(LOCKSTEP_SANITIZE MATCHES "address")  # g++ and clang++ each have a macro of their own
    target_compile_definitions(lockstep_warnings INTERFACE LOCKSTEP_ADDRESS_SANITIZER=1)
  endif()
  # Where this macro is defined, protobuf's headers give a map field two members that the distribution's libprotobuf,
  # built without a sanitizer, knows nothing of: the two disagree about where a map lies.
  if(LOCKSTEP_SANITIZE MATCHES "thread")
    target_compile_options(lockstep_warnings INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-U__SANITIZE_THREAD__>)
  endif()
endif()

# lockstep_library(name SOURCES... ) : static library lockstep_<name>, alias lockstep::<name>.
function(lockstep_library name)
  add_library(lockstep_${name} STATIC ${ARGN})
  add_library(lockstep::${name} ALIAS lockstep_${name})
  target_link_libraries(lockstep_${name} PUBLIC lockstep::warnings)
  reuse_headers(lockstep_${name} lockstep_library_headers)
  unite(lockstep_${name})
endfunction()
