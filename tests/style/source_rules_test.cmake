# SPDX-License-Identifier: Apache-2.0
# Fails on a source without its licence line, and on a build file that asks for the builder's own instruction set:
# releases choose it at run time, and fast-math would break lockstep arithmetic.
include("${CMAKE_CURRENT_LIST_DIR}/source_files.cmake")

file(GLOB_RECURSE build_files RELATIVE "${ROOT}" "${ROOT}/cmake/*.cmake" "${ROOT}/scripts/*")
file(GLOB top RELATIVE "${ROOT}" "${ROOT}/CMakeLists.txt" "${ROOT}/CMakePresets.json" "${ROOT}/.ci/run")
find_sources(cmake_files CMakeLists.txt *.cmake)
find_sources(code *.h *.cc *.cu *.cuh *.proto *.py *.sh)
list(APPEND build_files ${top} ${cmake_files})

set(violations)
set(licensed ${code} ${build_files})
list(FILTER licensed EXCLUDE REGEX "\\.json$")  # JSON has no comments
foreach(file IN LISTS licensed)
  file(STRINGS "${ROOT}/${file}" head LIMIT_COUNT 3)
  if(NOT head MATCHES "SPDX-License-Identifier: Apache-2.0")
    list(APPEND violations "${file}: no SPDX line at the top")
  endif()
endforeach()

list(FILTER build_files EXCLUDE REGEX "^tests/style/")  # names the flags to look for
foreach(file IN LISTS build_files)
  file(STRINGS "${ROOT}/${file}" lines REGEX "-m(arch|tune|cpu)=native|-ffast-math|-Ofast")
  list(FILTER lines EXCLUDE REGEX "^[ \t]*#")
  if(lines)
    list(APPEND violations "${file}: ${lines}")
  endif()
endforeach()
report_violations("source rules" "${violations}")
