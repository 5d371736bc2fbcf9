# SPDX-License-Identifier: Apache-2.0
# lockstep_test(name SOURCES ... LIBS ... [LABELS unit]) : one GoogleTest program; each of its tests becomes a ctest entry.
# With a sanitizer, under which a process takes a tenth of a second to start, the program is one entry <folder>.<name>
# (core.file_test); `bin/file_test --gtest_filter=...` runs one of its tests. So tests must not rely on a fresh process.
# The programs of many cases have their TIMEOUT as COST: ctest begins with those, so that none runs alone at the end.
# SERIAL: it starts no second thread, nor does what it tests; ThreadSanitizer has nothing to see there.
# add_ranked_test(name COMMAND ... RANKS 1 2 3 LABELS mpi) : runs the command under mpirun once per rank count.
include(GoogleTest)
if(LOCKSTEP_TESTS)
  enable_testing()
endif()

# The system's Python first: a distribution's packages (NumPy) are for that one.
find_program(LOCKSTEP_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)
find_program(LOCKSTEP_PYTHON python3)

# built_for(target label) : what the presets asan and tsan build, and with it what it depends on: the programs whose tests
# they run. Others, of several ranks or of other labels, run in the release preset alone.
add_custom_target(sanitizer_tests)
function(built_for target label)
  if(label MATCHES "^(unit|emu)$")
    add_dependencies(sanitizer_tests ${target})
  endif()
endfunction()

function(lockstep_test name)
  cmake_parse_arguments(arg "SERIAL" "TIMEOUT" "SOURCES;LIBS;LABELS;ENVIRONMENT" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE lockstep::warnings ${arg_LIBS} GTest::gmock GTest::gtest_main)
  compiled_as_test(${name})
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  # One argument for the property: an unescaped list would become further property names.
  string(REPLACE ";" "\\;" environment "${arg_ENVIRONMENT}")
  if(arg_SERIAL AND LOCKSTEP_SANITIZE MATCHES "thread")
    return()
  endif()
  built_for(${name} "${arg_LABELS}")
  if(LOCKSTEP_SANITIZE)
    cmake_path(GET CMAKE_CURRENT_SOURCE_DIR FILENAME folder)
    # Not --gtest_brief: the last line that a sanitizer leaves must name the test that it ended.
    add_test(NAME ${folder}.${name} COMMAND ${name})
    math(EXPR timeout "${arg_TIMEOUT} * 5")
    set_tests_properties(${folder}.${name} PROPERTIES
      LABELS "${arg_LABELS}" TIMEOUT ${timeout} COST ${timeout} ENVIRONMENT "${arg_ENVIRONMENT}")
    return()
  endif()
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${environment}")
endfunction()

# program_test(name PREFIX kernels LABEL unit TIMEOUT s LIBS ... SOURCES ...) : hundreds of cases of a few milliseconds as one
# ctest entry <prefix>.<name>, not one process a case. A failure prints the filter that reruns its case alone.
function(program_test name)
  cmake_parse_arguments(arg "" "PREFIX;LABEL;TIMEOUT" "LIBS;SOURCES" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LIBS} GTest::gmock GTest::gtest_main)
  compiled_as_test(${name})
  built_for(${name} ${arg_LABEL})
  add_test(NAME ${arg_PREFIX}.${name} COMMAND ${name} --gtest_brief=1)
  set_tests_properties(${arg_PREFIX}.${name} PROPERTIES
    LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT} COST ${arg_TIMEOUT})
endfunction()

function(add_ranked_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "COMMAND;RANKS;LABELS" ${ARGN})
  if(NOT arg_LABELS)
    set(arg_LABELS mpi)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  foreach(ranks IN LISTS arg_RANKS)
    add_test(NAME ${name}.ranks${ranks}
             COMMAND ${MPIEXEC_EXECUTABLE} --oversubscribe -np ${ranks} ${arg_COMMAND})
    # Open MPI refuses to run as root without both variables; containers and CI are root.
    set_tests_properties(${name}.ranks${ranks} PROPERTIES
      LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} PROCESSORS ${ranks}
      ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;OMPI_MCA_rmaps_base_oversubscribe=1")
  endforeach()
endfunction()
