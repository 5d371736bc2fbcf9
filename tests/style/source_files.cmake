# SPDX-License-Identifier: Apache-2.0
# What the style checks share. Each check is a script: cmake -DROOT=<checkout> -P <check>.cmake
cmake_minimum_required(VERSION 3.25)

if(NOT IS_DIRECTORY "${ROOT}")
  message(FATAL_ERROR "usage: cmake -DROOT=<checkout> -P <check>.cmake; ROOT is '${ROOT}'")
endif()
set(source_folders core kernels io mpi serve jobs bench tests)

# find_sources(out GLOB...) : files of our folders that match, relative to ROOT.
function(find_sources out)
  set(globs)
  foreach(folder IN LISTS source_folders)
    foreach(glob IN LISTS ARGN)
      list(APPEND globs "${ROOT}/${folder}/${glob}")
    endforeach()
  endforeach()
  file(GLOB_RECURSE found RELATIVE "${ROOT}" ${globs})
  # A virtual environment of the peers may lie in the tree.
  list(FILTER found EXCLUDE REGEX "/(\\.?venv|__pycache__|build)/")
  set(${out} "${found}" PARENT_SCOPE)
endfunction()

function(report_violations what violations)
  if(violations)
    list(LENGTH violations count)
    list(JOIN violations "\n  " lines)
    message(FATAL_ERROR "${count} violation(s) of ${what}:\n  ${lines}")
  endif()
  message(STATUS "${what}: no violation")
endfunction()
