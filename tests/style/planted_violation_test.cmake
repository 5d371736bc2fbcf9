# SPDX-License-Identifier: Apache-2.0
# The checks check: each planted violation must be found, and a clean tree must pass.
#   cmake -DWORK_DIR=<scratch> -P planted_violation_test.cmake
cmake_minimum_required(VERSION 3.25)

# run_check(check found|clean file content [beside content]) : a tree of that one file, and of `beside` with the other content.
function(run_check check expect file content)
  file(REMOVE_RECURSE "${WORK_DIR}")
  if(ARGC GREATER 4)
    file(WRITE "${WORK_DIR}/${ARGV4}" "${ARGV5}")
  endif()
  file(WRITE "${WORK_DIR}/${file}" "${content}")
  execute_process(COMMAND "${CMAKE_COMMAND}" "-DROOT=${WORK_DIR}" -P "${CMAKE_CURRENT_LIST_DIR}/${check}.cmake"
                  RESULT_VARIABLE rc OUTPUT_VARIABLE output ERROR_VARIABLE output)
  file(REMOVE_RECURSE "${WORK_DIR}")
  if(expect STREQUAL "found" AND (rc EQUAL 0 OR NOT output MATCHES "1 violation\\(s\\)" OR NOT output MATCHES "${file}"))
    message(FATAL_ERROR "${check} did not find the violation in ${file}:\n${content}\nrc=${rc}\n${output}")
  elseif(expect STREQUAL "clean" AND NOT rc EQUAL 0)
    message(FATAL_ERROR "${check} rejects ${file}:\n${content}\n${output}")
  endif()
endfunction()

function(check_includes expect file include)
  run_check(include_order_test ${expect} "${file}" "#pragma once\n#include ${include}\n")
endfunction()

# Upward, sideways, foreign, in a header.
check_includes(found core/base/file.cc "\"kernels/backend.h\"")
check_includes(found core/base/deep/er/file.h "\"core/nn/model.h\"")
check_includes(found kernels/adam/adam.cc "\"io/tfrecord.h\"")
check_includes(found io/dataset.cc "\"mpi/communicator.h\"")
check_includes(found mpi/grad_reducer.cc "\"core/nn/model.h\"")
check_includes(found core/nn/model.cc "\"core/train/trainer.h\"")
check_includes(found core/train/trainer.cc "\"serve/predict.h\"")
check_includes(found serve/predict.cc "\"core/train/trainer.h\"")
check_includes(found jobs/commands.cc "\"core/nn/model.h\"")
check_includes(found bench/io_bench.cc "\"tests/io/fake.h\"")
check_includes(found core/train/trainer.cc "<mpi.h>")
check_includes(found io/gzip_reader.h "<zlib.h>")
check_includes(found mpi/gzip.cc "  <zlib.h>")
check_includes(found core/nn/layer.cc "<hwy/highway.h>")
check_includes(found core/train/predict.cc "<boost/asio.hpp>")
check_includes(found io/gpu.cc "<cuda_runtime.h>")
# What the rules allow.
check_includes(clean mpi/mpi_communicator.cc "<mpi.h>")
check_includes(clean io/gzip_reader.cc "<zlib.h>")
check_includes(clean serve/lockstep_main.cc "\"io/records.h\"")
check_includes(clean serve/lockstep_main.cc "\"jobs/commands.h\"")
check_includes(clean core/train/trainer.cc "\"core/nn/model.h\"")
check_includes(clean bench/kernels_bench.cc "\"tests/support/kernel_case.h\"")
check_includes(clean kernels/adam/adam_simd.cc "<hwy/highway.h>")

run_check(source_rules_test found io/bare.cc "int x;\n")
run_check(source_rules_test found cmake/flags.cmake
  "# SPDX-License-Identifier: Apache-2.0\nadd_compile_options(-march=native)\n")
run_check(source_rules_test found kernels/CMakeLists.txt
  "# SPDX-License-Identifier: Apache-2.0\ntarget_compile_options(x PRIVATE -ffast-math)\n")
run_check(source_rules_test found bench/peers/bare.py "import os\n")
run_check(source_rules_test clean cmake/flags.cmake
  "# SPDX-License-Identifier: Apache-2.0\nadd_compile_options(-O3)  \n# not -march=native\n")
# The folders are searched in the order of source_files.cmake: the second header is the one that is told of.
set(header "// SPDX-License-Identifier: Apache-2.0\n")
run_check(source_rules_test found serve/twice.h "${header}class alignas(64) Model final : public Base<int> {\n};\n"
  core/nn/model.h "${header}struct Model {\n};\n")
run_check(source_rules_test clean serve/once.h "${header}class Model;\nclass Store {\n  struct Model {\n  };\n};\n"
  core/nn/model.h "${header}struct Model {\n};\n")
message(STATUS "every planted violation was found")
