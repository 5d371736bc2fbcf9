# SPDX-License-Identifier: Apache-2.0
# add_kernel(FILE...) : CUDA sources of the calling folder. Each is compiled twice: by nvcc for GPUs, and by g++ for the
# emulator. They are listed once, here, for both.
function(add_kernel)
  foreach(file IN LISTS ARGN)
    set_property(GLOBAL APPEND PROPERTY LOCKSTEP_KERNELS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
  endforeach()
endfunction()

# kernel_sources(out) : all of them.
function(kernel_sources out)
  get_property(kernels GLOBAL PROPERTY LOCKSTEP_KERNELS)
  set(${out} "${kernels}" PARENT_SCOPE)
endfunction()

# emulate(FILE...) : the calling folder's targets compile these CUDA sources as C++, each access to memory checked: g++
# calls the hooks of its sanitizers, which kernels/emu/hooks.cc defines. With AddressSanitizer that one checks instead.
# (The properties hold for the calling folder only: elsewhere nvcc compiles the same files.)
function(emulate)
  # g++ does not know `#pragma unroll`, nor that it uses a constant.
  set(options -xc++ -Wno-unknown-pragmas -Wno-unused-variable)
  if(NOT LOCKSTEP_SANITIZE)
    list(APPEND options -fsanitize=thread,alignment,bounds --param=tsan-instrument-func-entry-exit=0)
  endif()
  set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "${options}")
endfunction()

# keep_ptxas_reports(target) : what ptxas says of each CUDA source of the target lies in FILE.o.ptxas beside its object;
# scripts/kernel_resources.py reads them.
function(keep_ptxas_reports target)
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Xptxas -v>")
  set(launcher "${PROJECT_SOURCE_DIR}/scripts/keep_ptxas_report.sh" ${CMAKE_CUDA_COMPILER_LAUNCHER})
  set_target_properties(${target} PROPERTIES CUDA_COMPILER_LAUNCHER "${launcher}")
endfunction()
