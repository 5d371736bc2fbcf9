// SPDX-License-Identifier: Apache-2.0
// SavedModels of TensorFlow 1 and 2. First byte even: the rest is a SavedModel as text; odd: saved_model.pb itself. The
// variables of every seed lie beside it, all zeros.
#include <vector>

#include "core/base/check.h"
#include "core/nn/import/graph_import.h"
#include "io/proto/saved_model.pb.h"
#include "io/protobuf_bytes.h"
#include "io/saved_model.h"
#include "serve/inspect/inspect.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/imported_model.h"
#include "tests/fuzz/message_text.h"

namespace lockstep {
namespace {

// As make_corpus.py has them: 6 x 6 grey pixels, a convolution with 2 filters, a pool, 3 classes.
void write_variables() {
  static const std::vector<float> zeros(64);
  static const int64_t step = 0;
  const std::vector<int64_t> kernel{3, 3, 1, 2}, bias{2}, dense{18, 3}, dense_bias{3};
  std::vector<BundleTensor> tensors{{"global_step", TensorDtype::kInt64, {}, bytes_of({&step, 1})}};
  const auto add = [&](const std::string& name, const std::vector<int64_t>& shape) {
    size_t count = 1;
    for (const int64_t size : shape) count *= static_cast<size_t>(size);
    tensors.push_back({name, TensorDtype::kFloat32, shape, bytes_of({zeros.data(), count})});
  };
  for (const char* suffix : {"", "/.ATTRIBUTES/VARIABLE_VALUE"}) {
    add("conv2d/kernel" + std::string(suffix), kernel);
    add("conv2d/bias" + std::string(suffix), bias);
    add("dense/kernel" + std::string(suffix), dense);
    add("dense/bias" + std::string(suffix), dense_bias);
  }
  write_scratch_file("variables/none", "");  // makes the directory
  LOCKSTEP_CHECK(write_tensor_bundle(scratch_directory().file("variables/variables"), tensors).ok());
}

// The same graph as a checkpoint's .meta has it, without signatures, and with nothing beside it.
void import_bare_graph(const std::string& model_bytes) {
  proto::SavedModel model;
  if (!parse_protobuf(model_bytes, &model) || model.meta_graphs().empty()) return;
  proto::MetaGraphDef& graph = *model.mutable_meta_graphs(0);
  check_imported(import_graph(graph, nullptr, "fuzz"));
  graph.clear_signature_def();
  static const auto bundle = TensorBundleReader::open(scratch_directory().file("variables/variables"));
  LOCKSTEP_CHECK(bundle.ok());
  check_imported(import_graph(graph, bundle->get(), "fuzz"));
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  static const bool written = (write_variables(), true);
  LOCKSTEP_CHECK(written);
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const std::string bytes = take_byte(rest) % 2 == 0 ? bytes_of_text<proto::SavedModel>(rest) : std::string(rest);
  write_scratch_file("saved_model.pb", bytes);
  check_imported(load_trained_model(scratch_directory().path()));
  import_bare_graph(bytes);
  inspect(scratch_directory().file("saved_model.pb")).IgnoreError();
  return 0;
}
