# SPDX-License-Identifier: Apache-2.0
# With LOCKSTEP_PCH: the headers that cost most, parsed once for all libraries and once for all tests (flags and headers
# of the two differ). Half of the compiler's time goes into parsing them. What a precompiled header holds g++ 12 no longer
# takes for a system header's, and warns of overruns in std::string that are none; so these warnings are off for what
# uses such headers. The libraries of the preset release do without: there all warnings are on, and each source must
# include what it uses.
set(library_headers
  <absl/status/statusor.h>
  <fmt/format.h>
  <algorithm>
  <chrono>
  <filesystem>
  <functional>
  <map>
  <memory>
  <mutex>
  <optional>
  <string>
  <thread>
  <vector>)
set(test_headers <gmock/gmock.h> <gtest/gtest.h> ${library_headers})

# headers_target(name LIBS ... HEADERS ...) : compiles nothing but the headers, with the flags of what links LIBS.
function(headers_target name)
  cmake_parse_arguments(arg "" "" "LIBS;HEADERS" ${ARGN})
  file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/generated/${name}.cc" CONTENT "// Only its headers count.\n")
  add_library(${name} OBJECT "${PROJECT_BINARY_DIR}/generated/${name}.cc")
  target_link_libraries(${name} PRIVATE lockstep::warnings ${arg_LIBS})
  target_precompile_headers(${name} PRIVATE ${arg_HEADERS})
endfunction()
if(LOCKSTEP_PCH STREQUAL "ALL")
  headers_target(lockstep_library_headers LIBS absl::statusor fmt::fmt Threads::Threads HEADERS ${library_headers})
endif()
if(LOCKSTEP_PCH AND LOCKSTEP_TESTS)
  headers_target(lockstep_test_headers
    LIBS absl::statusor fmt::fmt Threads::Threads GTest::gmock HEADERS ${test_headers})
  separate_arguments(test_flags UNIX_COMMAND "${LOCKSTEP_TEST_FLAGS}")
  target_compile_options(lockstep_test_headers PRIVATE ${test_flags})
endif()

# reuse_headers(target from) : where they are precompiled. -fpch-preprocess lets ccache cache what g++ compiles with them,
# given the sloppiness pch_defines,time_macros.
function(reuse_headers target from)
  if(TARGET ${from})
    target_precompile_headers(${target} REUSE_FROM ${from})
    target_link_libraries(${target} PRIVATE fmt::fmt)  # whose definitions must be those that the headers were parsed with
    target_compile_options(${target} PRIVATE "$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fpch-preprocess;-Wno-array-bounds;-Wno-restrict;-Wno-stringop-overflow>")
  endif()
endfunction()

# compiled_as_test(target) : its sources are those of tests.
function(compiled_as_test target)
  separate_arguments(flags UNIX_COMMAND "${LOCKSTEP_TEST_FLAGS}")
  target_compile_options(${target} PRIVATE ${flags})
  reuse_headers(${target} lockstep_test_headers)
endfunction()

# unite(target) : with LOCKSTEP_UNITY, what sources include, and the templates that they use, are compiled once for each ten.
function(unite target)
  if(LOCKSTEP_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 10)
  endif()
endfunction()

# optimize_under_asan(target) : a library that computes. The others are compiled without optimization there (preset asan),
# in less than half of the time; headers precompiled so do not fit this one, which includes few.
function(optimize_under_asan target)
  if(LOCKSTEP_SANITIZE MATCHES "address")
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O1>)
    set_target_properties(${target} PROPERTIES DISABLE_PRECOMPILE_HEADERS ON)
  endif()
endfunction()
