// SPDX-License-Identifier: Apache-2.0
// SavedModel and ONNX: protobuf messages with a graph in them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <span>

#include "core/base/file.h"
#include "io/proto/onnx.pb.h"
#include "io/proto/saved_model.pb.h"
#include "io/protobuf_bytes.h"
#include "io/tensor_bundle.h"
#include "io/tensor_bundle_names.h"
#include "serve/inspect/inspectors.h"
#include "serve/inspect/value_stats.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

// Reads a message from a file; on failure tells the report and returns false.
template <typename Message>
bool read_message(const std::string& path, std::string_view what, Message& message, InspectReport& report) {
  const auto bytes = read_file(path);
  if (bytes.ok() && parse_protobuf(*bytes, &message)) return true;
  report.summary = "unreadable";
  report.damage.push_back(bytes.ok() ? fmt::format("{}: {} bytes that are no protobuf {}", path, bytes->size(), what)
                                     : std::string(bytes.status().message()));
  return false;
}

InspectTable operator_table(const std::map<std::string, int>& counts) {
  InspectTable table{"operators", {"operator", "nodes"}, {}};
  for (const auto& [op, nodes] : counts) table.rows.push_back({op, nodes});
  return table;
}

// "float32", "?": of TensorFlow's DataType.
std::string tensorflow_dtype(int dtype) {
  return dtype == proto::DT_INVALID ? "?" : std::string(dtype_name(static_cast<TensorDtype>(dtype)));
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

// A row of kTensorColumns.
std::vector<InspectValue> tensor_row(const std::string& name, const std::string& dtype, const std::string& shape,
                                     const ValueStats& stats) {
  std::vector<InspectValue> row{name, dtype, shape};
  const auto cells = stats.cells();
  row.insert(row.end(), cells.begin(), cells.end());
  return row;
}

template <typename Numbers>
std::string_view bytes_of(const Numbers& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), static_cast<size_t>(numbers.size()) * sizeof(*numbers.data())};
}

// Tells of a tensor of a graph that holds another number of numbers than its shape says.
void check_count(const std::string& name, std::span<const int64_t> shape, const ValueStats& stats,
                 InspectReport& report) {
  const auto expected = element_count(shape);
  if (expected == static_cast<uint64_t>(stats.count())) return;
  report.damage.push_back(fmt::format("{}: tensor `{}` of shape {} holds {} numbers", report.path, printable(name),
                                      shape_text(shape), stats.count()));
}

// Constants that hold weights: floats of at least one dimension. One number that stands for all is a filling, not
// shown.
void add_constants(const proto::GraphDef& graph, InspectReport& report) {
  InspectTable table{"constants", kTensorColumns, {}};
  for (const proto::NodeDef& node : graph.node()) {
    const auto value = node.attr().find("value");
    if (node.op() != "Const" || value == node.attr().end()) continue;
    const proto::TensorProto& tensor = value->second.tensor();
    if (tensor.dtype() != proto::DT_FLOAT || tensor.tensor_shape().dim_size() == 0) continue;
    if (tensor.tensor_content().empty() && tensor.float_val_size() <= 1) continue;
    ValueStats stats(TensorDtype::kFloat32);
    stats.add(tensor.tensor_content());
    stats.add(bytes_of(tensor.float_val()));
    std::vector<int64_t> shape;
    for (const auto& dim : tensor.tensor_shape().dim()) shape.push_back(dim.size());
    check_count(node.name(), shape, stats, report);
    table.rows.push_back(tensor_row(node.name(), "float32", shape_of(tensor.tensor_shape()), stats));
  }
  report.tables.push_back(std::move(table));
}

void describe_meta_graph(const proto::MetaGraphDef& graph, InspectReport& report) {
  const auto& info = graph.meta_info_def();
  report.add_fact("tags", fmt::format("{}", fmt::join(info.tags(), ", ")));
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

// Of ONNX's TensorProto.DataType.
std::string onnx_dtype(int dtype) {
  constexpr std::array<const char*, 17> kNames{"?",      "float32", "uint8",     "int8",       "uint16",  "int16",
                                               "int32",  "int64",   "string",    "bool",       "float16", "float64",
                                               "uint32", "uint64",  "complex64", "complex128", "bfloat16"};
  if (dtype >= 0 && static_cast<size_t>(dtype) < kNames.size()) return kNames[static_cast<size_t>(dtype)];
  return fmt::format("type {}", dtype);
}

std::string onnx_shape(const onnx::TensorShapeProto& shape) {
  std::vector<std::string> sizes;
  for (const auto& dim : shape.dim()) {
    sizes.push_back(dim.has_dim_value()   ? fmt::format("{}", dim.dim_value())
                    : dim.has_dim_param() ? dim.dim_param()
                                          : "?");
  }
  return fmt::format("({})", fmt::join(sizes, ", "));
}

// What the numbers of a tensor are; those of other types are not looked at.
std::optional<TensorDtype> number_type(const onnx::TensorProto& tensor) {
  switch (tensor.data_type()) {
    case onnx::TensorProto::FLOAT:
      return TensorDtype::kFloat32;
    case onnx::TensorProto::DOUBLE:
      return TensorDtype::kDouble;
    case onnx::TensorProto::INT32:
      return TensorDtype::kInt32;
    case onnx::TensorProto::INT64:
      return TensorDtype::kInt64;
    default:
      return std::nullopt;
  }
}

std::vector<InspectValue> onnx_tensor_row(const onnx::TensorProto& tensor, InspectReport& report) {
  const auto dtype = number_type(tensor);
  ValueStats stats(dtype.value_or(TensorDtype::kString));
  stats.add(tensor.raw_data());
  if (dtype == TensorDtype::kFloat32) stats.add(bytes_of(tensor.float_data()));
  if (dtype == TensorDtype::kDouble) stats.add(bytes_of(tensor.double_data()));
  if (dtype == TensorDtype::kInt32) stats.add(bytes_of(tensor.int32_data()));
  if (dtype == TensorDtype::kInt64) stats.add(bytes_of(tensor.int64_data()));
  const std::vector<int64_t> dims(tensor.dims().begin(), tensor.dims().end());
  if (tensor.data_location() == onnx::TensorProto::EXTERNAL) {
    report.add_fact("external data", fmt::format("{} and maybe others: not read", tensor.name()));
  } else if (dtype) {
    check_count(tensor.name(), dims, stats, report);
  }
  return tensor_row(tensor.name(), onnx_dtype(tensor.data_type()), shape_text(dims), stats);
}

void add_onnx_values(const onnx::GraphProto& graph, InspectReport& report) {
  InspectTable table{"values", {"side", "name", "dtype", "shape"}, {}};
  for (const auto& [side, values] : {std::pair("input", &graph.input()), {"output", &graph.output()}}) {
    for (const auto& value : *values) {
      const auto& type = value.type().tensor_type();
      table.rows.push_back({side, value.name(), onnx_dtype(type.elem_type()), onnx_shape(type.shape())});
    }
  }
  report.tables.push_back(std::move(table));
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
}

void inspect_onnx(InspectReport& report) {
  report.kind = "ONNX";
  onnx::ModelProto model;
  if (!read_message(report.path, "ONNX model", model, report)) return;
  std::vector<std::string> opsets;
  for (const auto& opset : model.opset_import()) {
    opsets.push_back(opset.domain().empty() ? fmt::format("{}", opset.version())
                                            : fmt::format("{} of {}", opset.version(), opset.domain()));
  }
  report.add_fact("IR version", model.ir_version());
  report.add_fact("opset", fmt::format("{}", fmt::join(opsets, ", ")));
  report.add_fact("producer", fmt::format("{} {}", model.producer_name(), model.producer_version()));
  for (const auto& entry : model.metadata_props()) report.add_fact(entry.key(), entry.value());
  std::map<std::string, int> operators;
  for (const auto& node : model.graph().node()) ++operators[node.op_type()];
  InspectTable tensors{"initializers", kTensorColumns, {}};
  for (const auto& tensor : model.graph().initializer()) tensors.rows.push_back(onnx_tensor_row(tensor, report));
  report.summary = fmt::format("{} nodes, {} tensors", model.graph().node_size(), model.graph().initializer_size());
  add_onnx_values(model.graph(), report);
  report.tables.push_back(operator_table(operators));
  report.tables.push_back(std::move(tensors));
}

}  // namespace lockstep
