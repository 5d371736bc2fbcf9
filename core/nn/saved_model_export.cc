// SPDX-License-Identifier: Apache-2.0
#include "core/nn/saved_model_export.h"

#include <fmt/format.h>

#include <vector>

#include "core/nn/graph_export.h"
#include "io/proto/saved_model.pb.h"
#include "io/saved_model.h"
#include "io/tensor_bundle_names.h"

namespace lockstep {
namespace {

constexpr int64_t kMaxFrozenParameters = (int64_t{1} << 29) - (1 << 20);  // 2 GiB of floats, less room for the graph

proto::TensorInfo tensor_info(const std::string& node, proto::DataType dtype, const std::vector<int64_t>& shape) {
  proto::TensorInfo info;
  info.set_name(node + ":0");
  info.set_dtype(dtype);
  for (const int64_t size : shape) info.mutable_tensor_shape()->add_dim()->set_size(size);
  return info;
}

proto::SignatureDef predict_signature(const Network& network) {
  proto::SignatureDef signature;
  signature.set_method_name("tensorflow/serving/predict");
  (*signature.mutable_inputs())["inputs"] =
      tensor_info(graph_names::kInput, proto::DT_FLOAT, {-1, network.input().size()});
  (*signature.mutable_outputs())["classes"] = tensor_info(graph_names::kClasses, proto::DT_INT64, {-1});
  (*signature.mutable_outputs())["probabilities"] =
      tensor_info(graph_names::kProbabilities, proto::DT_FLOAT, {-1, network.classes()});
  return signature;
}

void describe_saver(proto::SaverDef* saver) {
  saver->set_filename_tensor_name(std::string(graph_names::kSaveFilename) + ":0");
  saver->set_save_tensor_name(std::string(graph_names::kSaveTensor) + ":0");
  saver->set_restore_op_name(graph_names::kRestore);
  saver->set_max_to_keep(5);
  saver->set_keep_checkpoint_every_n_hours(10000);
  saver->set_version(proto::SaverDef::V2);
}

// As bytes: TensorFlow reads variables only from a bytes list.
std::string variable_bytes(const std::string& name, bool trainable) {
  proto::VariableDef variable;
  variable.set_variable_name(name + ":0");
  variable.set_initializer_name(graph_names::initializer(name));
  variable.set_snapshot_name(graph_names::read(name) + ":0");
  variable.set_initial_value_name(graph_names::initial_value(name) + ":0");
  variable.set_is_resource(true);
  variable.set_trainable(trainable);
  return variable.SerializeAsString();
}

void add_collections(const Network& network, proto::MetaGraphDef* graph) {
  auto& collections = *graph->mutable_collection_def();
  const auto add = [&](const char* collection, const std::string& bytes) {
    collections[collection].mutable_bytes_list()->add_value(bytes);
  };
  for (const Param& param : network.params().params()) {
    add("variables", variable_bytes(param.name, true));
    add("trainable_variables", variable_bytes(param.name, true));
  }
  add("variables", variable_bytes(kGlobalStepVariable, false));
  add("global_step", variable_bytes(kGlobalStepVariable, false));
}

std::vector<BundleTensor> variables_of(const Network& network, const float* weights, const int64_t* global_step) {
  std::vector<BundleTensor> tensors;
  for (const Param& param : network.params().params()) {
    const std::span<const float> values(weights + param.offset, static_cast<size_t>(param.size));
    tensors.push_back({param.name, TensorDtype::kFloat32, param.shape, bytes_of(values)});
  }
  tensors.push_back({kGlobalStepVariable, TensorDtype::kInt64, {}, bytes_of(std::span(global_step, 1))});
  return tensors;
}

bool holds(const TensorBundleReader& bundle, const BundleTensor& tensor) {
  const auto entry = bundle.find(tensor.name);
  if (!entry.ok() || (*entry)->dtype != tensor.dtype || (*entry)->shape != tensor.shape) return false;
  std::string bytes(tensor.bytes.size(), '\0');
  return bundle.read_bytes(tensor.name, bytes).ok() && bytes == tensor.bytes;
}

}  // namespace

absl::StatusOr<std::string> export_saved_model(const std::string& base, const ModelConfig& config,
                                               const Network& network, const float* weights, int64_t global_step,
                                               const SavedModelExportOptions& options) {
  if (options.frozen && network.params().parameter_count() > kMaxFrozenParameters) {
    return absl::InvalidArgumentError(fmt::format(
        "{} parameters are too many for a frozen graph, whose file may have 2 GiB: export it with variables",
        network.params().parameter_count()));
  }
  proto::SavedModel model;
  model.set_saved_model_schema_version(1);
  proto::MetaGraphDef* graph = model.add_meta_graphs();
  graph->mutable_meta_info_def()->add_tags("serve");
  graph->mutable_meta_info_def()->set_stripped_default_attrs(true);
  for (const char* name : {"serving_default", "prediction"}) {
    (*graph->mutable_signature_def())[name] = predict_signature(network);
  }
  std::vector<BundleTensor> variables;
  if (options.frozen) {
    build_frozen_graph(config, network, weights, global_step, graph->mutable_graph_def());
  } else {
    build_graph(config, network, graph->mutable_graph_def());
    describe_saver(graph->mutable_saver_def());
    add_collections(network, graph);
    variables = variables_of(network, weights, &global_step);
  }
  return write_saved_model(base, model, std::move(variables),
                           {.exports_to_keep = options.exports_to_keep, .on_removed = options.on_removed});
}

bool holds_export_of(const std::string& base, const Network& network, const float* weights, int64_t global_step) {
  const auto files = read_saved_model(base);
  if (!files.ok() || files->variables == nullptr) return false;
  for (const BundleTensor& tensor : variables_of(network, weights, &global_step)) {
    if (!holds(*files->variables, tensor)) return false;
  }
  return true;
}

}  // namespace lockstep
