# SPDX-License-Identifier: Apache-2.0
# Fails on an include that points upward or sideways, and on a system header outside the folder that owns it:
#   core/base <- {kernels, io, mpi} <- core/nn <- {core/train, serve} <- {bench, tests}; jobs: core/base and io only.
include("${CMAKE_CURRENT_LIST_DIR}/source_files.cmake")

set(layers core/base core/nn core/train kernels io mpi serve jobs bench tests)
# What a folder may include besides itself.
set(below_core/base)
set(below_kernels core/base)
set(below_io core/base)
set(below_mpi core/base)
set(below_core/nn core/base kernels io mpi)
set(below_core/train ${below_core/nn} core/nn)
set(below_serve ${below_core/nn} core/nn)
set(below_jobs core/base io)
set(below_bench ${below_core/train} core/train serve jobs tests/support)  # the case lists are shared with the tests
set(below_tests ${layers})
# The program `lockstep` wires the subcommands of both serve and jobs.
set(extra_for_serve/lockstep_main.cc jobs)
# The emulated NCCL meets the emulated streams in one file.
set(extra_for_mpi/emu/nccl_streams.cc kernels)

# Header (regular expression) and the folders that own it; only their .cc and .cu files may include it. `fuzz` is tests/fuzz,
# whose targets take the bytes that a checksum or a compressed stream would hide from the fuzzer.
set(owned_headers
  "mpi\\.h" "zlib\\.h" "nccl\\.h" "cuda[a-z_]*\\.h" "cudnn[a-z_]*\\.h" "cublas[a-zA-Z_]*\\.h" "boost/.*" "grpcpp/.*"
  "curl/.*" "png\\.h" "leveldb/.*" "sqlite3\\.h" "openssl/.*" "isa-l.*" "hwy/.*" "(.*/)?[a-z_]+\\.pb\\.h")
set(owners
  "mpi" "io|fuzz" "mpi" "kernels" "kernels" "kernels" "serve" "serve"
  "io" "io" "io" "jobs|serve" "core/base|serve" "io" "kernels|bench|support" "io|core/nn|serve|fuzz")

function(folder_of path out)
  set(best)
  foreach(layer IN LISTS layers)
    if(path MATCHES "^${layer}/")
      set(best "${layer}")
    endif()
  endforeach()
  set(${out} "${best}" PARENT_SCOPE)
endfunction()

# Is `header`, included by `file` of `folder`, allowed by the direction of includes? Sets `why` when not.
function(check_direction file folder header)
  folder_of("${header}" target)
  if(NOT target OR target STREQUAL folder)
    return()
  endif()
  foreach(allowed IN LISTS below_${folder} extra_for_${file})
    if(header MATCHES "^${allowed}/")
      return()
    endif()
  endforeach()
  set(why "${folder} may not include ${target}" PARENT_SCOPE)
endfunction()

# The same for a header that one folder owns.
function(check_owner file folder header)
  foreach(pattern owner IN ZIP_LISTS owned_headers owners)
    if(NOT header MATCHES "^${pattern}$")
      continue()
    endif()
    if(NOT file MATCHES "^(tests/)?(${owner})/")
      set(why "only ${owner} may include it" PARENT_SCOPE)
    # Highway's own pattern needs it in headers; the emulator's headers are the CUDA and NCCL names themselves.
    elseif(file MATCHES "\\.h$" AND NOT header MATCHES "^hwy/" AND NOT file MATCHES "^kernels/emu/")
      set(why "only .cc and .cu files may include it" PARENT_SCOPE)
    endif()
    return()
  endforeach()
endfunction()

set(violations)
find_sources(files *.h *.cc *.cu *.cuh)
foreach(file IN LISTS files)
  folder_of("${file}" folder)
  file(STRINGS "${ROOT}/${file}" lines REGEX "^[ \t]*#[ \t]*include[ \t]*[<\"]")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^[^<\"]*[<\"]([^>\"]+)[>\"].*$" "\\1" header "${line}")
    set(why)
    check_direction("${file}" "${folder}" "${header}")
    if(NOT why)
      check_owner("${file}" "${folder}" "${header}")
    endif()
    if(why)
      list(APPEND violations "${file}: ${header}: ${why}")
    endif()
  endforeach()
endforeach()
report_violations("include order" "${violations}")
