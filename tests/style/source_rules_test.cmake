# SPDX-License-Identifier: Apache-2.0
# Fails on a source without its licence line; on two headers that give a type the same name (both in one program break the
# one-definition rule, and no linker tells); and on a build file that asks for the builder's own instruction set: releases
# choose it at run time, and fast-math would break lockstep arithmetic.
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

# Members and nested types are indented.
find_sources(headers *.h *.cuh)
foreach(file IN LISTS headers)
  file(STRINGS "${ROOT}/${file}" lines REGEX "^(struct|class|enum class) (alignas[^ ]* )?[A-Za-z_0-9]+( [^;]*)?{")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^(struct|class|enum class) (alignas[^ ]* )?([A-Za-z_0-9]+).*" "\\3" type "${line}")
    if(DEFINED header_of_${type} AND NOT header_of_${type} STREQUAL file)  # conditional code may have two in one
      list(APPEND violations "${file}: ${header_of_${type}} has a type ${type} too")
    endif()
    set(header_of_${type} "${file}")
  endforeach()
endforeach()
report_violations("source rules" "${violations}")
