// SPDX-License-Identifier: Apache-2.0
// ONNX files. First byte even: the rest is a ModelProto as text; odd: the file itself.
#include "core/nn/import/onnx_import.h"
#include "io/proto/onnx.pb.h"
#include "serve/inspect/inspect.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/imported_model.h"
#include "tests/fuzz/message_text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const std::string bytes = take_byte(rest) % 2 == 0 ? bytes_of_text<onnx::ModelProto>(rest) : std::string(rest);
  check_imported(import_onnx(bytes, "fuzz.onnx"));
  write_scratch_file("fuzz.onnx", bytes);
  inspect(scratch_directory().file("fuzz.onnx")).IgnoreError();
  return 0;
}
