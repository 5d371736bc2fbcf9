# SPDX-License-Identifier: Apache-2.0
# Every build option, one help line each.
option(LOCKSTEP_TESTS "Build the tests" ON)
option(LOCKSTEP_BENCH "Build the benchmarks" ON)
option(LOCKSTEP_WERROR "Treat compiler warnings as errors (CI and presets set it)" OFF)
set(LOCKSTEP_CUDA AUTO CACHE STRING "Build the CUDA library: AUTO (where a GPU is present), ON (missing toolkit is an error) or OFF")
set_property(CACHE LOCKSTEP_CUDA PROPERTY STRINGS AUTO ON OFF)
set(LOCKSTEP_CUDNN AUTO CACHE STRING "Convolutions through cuDNN (--backend=cudnn): AUTO (where it is found), ON (missing is an error) or OFF")
set_property(CACHE LOCKSTEP_CUDNN PROPERTY STRINGS AUTO ON OFF)
set(LOCKSTEP_NCCL AUTO CACHE STRING "Training on several GPUs, with NCCL: AUTO (where it is found), ON (missing is an error) or OFF")
set_property(CACHE LOCKSTEP_NCCL PROPERTY STRINGS AUTO ON OFF)
set(LOCKSTEP_SANITIZE "" CACHE STRING "Sanitizers, comma separated: address,undefined or thread")

set(LOCKSTEP_TEST_FLAGS "" CACHE STRING "Compiler flags for the tests' own sources, after all others")
set(LOCKSTEP_PCH OFF CACHE STRING "Precompile the headers that most sources include, for which these then need no #include: ALL, TESTS (for the tests' sources) or OFF")
set_property(CACHE LOCKSTEP_PCH PROPERTY STRINGS ALL TESTS OFF)
option(LOCKSTEP_UNITY "Compile several sources of a library at once, faster; their internal names must differ (presets asan, tsan)" OFF)

option(LOCKSTEP_FUZZ "Build the targets of tests/fuzz with libFuzzer (clang; preset asan)" OFF)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

find_program(LOCKSTEP_CCACHE ccache)
if(LOCKSTEP_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${LOCKSTEP_CCACHE}")
endif()
