// SPDX-License-Identifier: Apache-2.0
// Graphs of TensorFlow: SavedModel, and the MetaGraphDef beside a checkpoint of TensorFlow 1.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "core/base/file.h"
#include "io/proto/saved_model.pb.h"
#include "io/tensor_bundle_names.h"
#include "serve/inspect/graph_report.h"
#include "serve/inspect/inspectors.h"

namespace lockstep {
namespace {

// "float32", "float32_ref", "?": of TensorFlow's DataType.
std::string tensorflow_dtype(int dtype) {
  constexpr int kReference = 100;  // is added for what a reference variable makes
  if (dtype == proto::DT_INVALID) return "?";
  const bool is_reference = dtype > kReference && dtype < 2 * kReference;
  const auto plain = static_cast<TensorDtype>(is_reference ? dtype - kReference : dtype);
  return dtype_name(plain) + (is_reference ? "_ref" : "");
}

std::string shape_of(const proto::TensorShapeProto& shape) {
  if (shape.unknown_rank()) return "?";
  std::vector<std::string> sizes;
  for (const auto& dim : shape.dim()) sizes.push_back(dim.size() < 0 ? "?" : fmt::format("{}", dim.size()));
  return fmt::format("({})", fmt::join(sizes, ", "));
}

// The entries of a protobuf map, which has no order of its own.
template <typename Value>
std::map<std::string, const Value*> by_name(const google::protobuf::Map<std::string, Value>& entries) {
  std::map<std::string, const Value*> sorted;
  for (const auto& [name, value] : entries) sorted[name] = &value;
  return sorted;
}

void add_signatures(const proto::MetaGraphDef& graph, InspectReport& report) {
  InspectTable table{"signatures", {"signature", "side", "key", "dtype", "shape", "tensor"}, {}};
  for (const auto& [key, signature] : by_name(graph.signature_def())) {
    for (const auto& [side, tensors] : {std::pair("input", &signature->inputs()), {"output", &signature->outputs()}}) {
      for (const auto& [name, info] : by_name(*tensors)) {
        table.rows.push_back(
            {key, side, name, tensorflow_dtype(info->dtype()), shape_of(info->tensor_shape()), info->name()});
      }
    }
  }
  report.tables.push_back(std::move(table));
}

// The numbers that a tensor lists one by one, as bytes.
std::string listed_numbers(const proto::TensorProto& tensor) {
  switch (static_cast<TensorDtype>(tensor.dtype())) {
    case TensorDtype::kFloat32:
      return bytes_as<float>(tensor.float_val());
    case TensorDtype::kDouble:
      return bytes_as<double>(tensor.double_val());
    case TensorDtype::kInt32:
    case TensorDtype::kQint32:
      return bytes_as<int32_t>(tensor.int_val());
    case TensorDtype::kInt16:
    case TensorDtype::kUint16:
    case TensorDtype::kQint16:
    case TensorDtype::kQuint16:
      return bytes_as<uint16_t>(tensor.int_val());
    case TensorDtype::kInt8:
    case TensorDtype::kUint8:
    case TensorDtype::kQint8:
    case TensorDtype::kQuint8:
      return bytes_as<uint8_t>(tensor.int_val());
    case TensorDtype::kInt64:
      return bytes_as<int64_t>(tensor.int64_val());
    case TensorDtype::kBool:
      return bytes_as<uint8_t>(tensor.bool_val());
    case TensorDtype::kFloat16:
    case TensorDtype::kBfloat16:
      return bytes_as<uint16_t>(tensor.half_val());
    case TensorDtype::kUint32:
      return bytes_as<uint32_t>(tensor.uint32_val());
    case TensorDtype::kUint64:
      return bytes_as<uint64_t>(tensor.uint64_val());
    case TensorDtype::kComplex64:
      return bytes_as<float>(tensor.scomplex_val());
    case TensorDtype::kComplex128:
      return bytes_as<double>(tensor.dcomplex_val());
    case TensorDtype::kString:
    case TensorDtype::kResource:
    case TensorDtype::kVariant:
      return "";
  }
  return "";
}

bool is_filling(const proto::TensorProto& tensor, std::string_view listed) {
  const size_t size = static_cast<size_t>(std::max(1, dtype_size(static_cast<TensorDtype>(tensor.dtype()))));
  return tensor.tensor_content().empty() && listed.size() <= size && tensor.string_val_size() <= 1;
}

// Constants of at least one dimension. The last number of a list that is shorter than the shape stands for the rest;
// one that stands for all is a filling, not shown.
void add_constants(const proto::GraphDef& graph, InspectReport& report) {
  InspectTable table{"constants", kTensorColumns, {}};
  for (const proto::NodeDef& node : graph.node()) {
    const auto value = node.attr().find("value");
    if (node.op() != "Const" || value == node.attr().end()) continue;
    const proto::TensorProto& tensor = value->second.tensor();
    if (tensor.tensor_shape().dim_size() == 0) continue;
    const std::string listed = listed_numbers(tensor);
    if (is_filling(tensor, listed)) continue;
    std::vector<int64_t> shape;
    for (const auto& dim : tensor.tensor_shape().dim()) shape.push_back(dim.size());
    const auto dtype = static_cast<TensorDtype>(tensor.dtype());
    ValueStats stats(dtype);
    stats.add(tensor.tensor_content());
    stats.add(listed);
    const int64_t count = dtype == TensorDtype::kString ? tensor.string_val_size() : stats.count();
    const auto elements = static_cast<int64_t>(element_count(shape).value_or(0));
    if (tensor.tensor_content().empty() && count < elements) {
      stats.repeat_last(elements - count);
    } else if (dtype == TensorDtype::kString || dtype_size(dtype) > 0) {
      check_count(node.name(), shape, count, report);
    }
    table.rows.push_back(
        tensor_row(node.name(), tensorflow_dtype(tensor.dtype()), shape_of(tensor.tensor_shape()), stats));
  }
  report.tables.push_back(std::move(table));
}

void describe_meta_graph(const proto::MetaGraphDef& graph, InspectReport& report) {
  const auto& info = graph.meta_info_def();
  if (info.tags_size() > 0) report.add_fact("tags", fmt::format("{}", fmt::join(info.tags(), ", ")));
  if (!info.tensorflow_version().empty()) report.add_fact("TensorFlow version", info.tensorflow_version());
  report.add_fact("nodes", graph.graph_def().node_size());
  if (graph.graph_def().library().function_size() > 0) {
    report.add_fact("functions", graph.graph_def().library().function_size());
  }
  if (!graph.object_graph_def().empty()) report.add_fact("object graph", "yes: TensorFlow 2 loads it as its own kind");
  std::map<std::string, int> operators;
  for (const auto& node : graph.graph_def().node()) ++operators[node.op()];
  add_signatures(graph, report);
  report.tables.push_back(operator_table(operators));
  add_constants(graph.graph_def(), report);
}

// The first node whose values lie in the files of the variables, "" when there is none: then the weights are constants.
std::string first_variable(const proto::SavedModel& model) {
  constexpr std::array<std::string_view, 4> kOps{"VarHandleOp", "VariableV2", "Variable", "RestoreV2"};
  const auto search = [&](const auto& nodes) -> std::string {
    for (const auto& node : nodes) {
      if (std::find(kOps.begin(), kOps.end(), node.op()) != kOps.end()) return node.name();
    }
    return "";
  };
  for (const auto& graph : model.meta_graphs()) {
    if (std::string name = search(graph.graph_def().node()); !name.empty()) return name;
    for (const auto& function : graph.graph_def().library().function()) {
      if (std::string name = search(function.node_def()); !name.empty()) return name;
    }
  }
  return "";
}

void add_variables(const proto::SavedModel& model, const std::string& directory, InspectReport& report) {
  const std::string prefix = join_path(join_path(directory, "variables"), "variables");
  if (!file_exists(prefix + ".index")) {
    const std::string variable = first_variable(model);
    if (variable.empty()) {
      report.add_fact("variables", "none: the weights are constants");
      return;
    }
    report.add_fact("variables", "missing");
    report.damage.push_back(fmt::format(
        "{}.index: missing, though the graph has variables (node `{}`, for one): the copy of the model is not whole",
        prefix, variable));
    return;
  }
  InspectReport bundle;
  bundle.path = prefix;
  inspect_bundle(bundle);
  report.summary += ", " + bundle.summary;
  report.checksums += bundle.checksums;
  report.checksums_over = bundle.checksums_over;
  report.damage.insert(report.damage.end(), bundle.damage.begin(), bundle.damage.end());
  for (InspectTable& table : bundle.tables) report.tables.push_back(std::move(table));
}

// TensorFlow 2 writes one; TensorFlow 1 and we do not.
void add_fingerprint(const std::string& directory, InspectReport& report) {
  InspectReport fingerprint;
  fingerprint.path = join_path(directory, kFingerprintName);
  if (!file_exists(fingerprint.path)) return;
  inspect_fingerprint(fingerprint);
  report.add_fact("fingerprint", fingerprint.summary);
  report.checksums += fingerprint.checksums;
  if (fingerprint.checksums > 0) report.checksums_over += "; the hash of the index";
  report.damage.insert(report.damage.end(), fingerprint.damage.begin(), fingerprint.damage.end());
}

}  // namespace

void inspect_saved_model(const std::string& pb_path, InspectReport& report) {
  report.kind = "SavedModel";
  proto::SavedModel model;
  if (!read_message(pb_path, "SavedModel", model, report)) return;
  if (model.meta_graphs_size() == 0) {
    report.summary = "unreadable";
    report.damage.push_back(fmt::format("{}: a SavedModel without a graph", pb_path));
    return;
  }
  report.add_fact("schema version", model.saved_model_schema_version());
  if (model.meta_graphs_size() > 1) report.add_fact("graphs", model.meta_graphs_size());
  int nodes = 0;
  for (const auto& graph : model.meta_graphs()) {
    nodes += graph.graph_def().node_size();
    describe_meta_graph(graph, report);
  }
  report.summary = fmt::format("{} nodes", nodes);
  add_variables(model, directory_name(pb_path), report);
  add_fingerprint(directory_name(pb_path), report);
}

void inspect_meta_graph(InspectReport& report) {
  report.kind = "MetaGraphDef: the graph beside a checkpoint of TensorFlow 1";
  proto::MetaGraphDef graph;
  if (!read_message(report.path, "MetaGraphDef", graph, report)) return;
  if (graph.graph_def().node_size() == 0) {
    report.summary = "unreadable";
    report.damage.push_back(fmt::format("{}: a MetaGraphDef without a graph", report.path));
    return;
  }
  describe_meta_graph(graph, report);
  report.summary = fmt::format("{} nodes", graph.graph_def().node_size());
}

}  // namespace lockstep
