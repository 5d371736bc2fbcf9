// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <map>
#include <optional>
#include <vector>

#include "io/proto/onnx.pb.h"
#include "io/tensor_bundle.h"
#include "serve/inspect/graph_report.h"
#include "serve/inspect/inspectors.h"

namespace lockstep {
namespace {

// Of ONNX's TensorProto.DataType, by its number; nothing for those that only ONNX has.
std::optional<TensorDtype> dtype_of(int number) {
  using enum TensorDtype;
  constexpr std::array kTypes{kFloat32, kUint8,   kInt8,   kUint16, kInt16,  kInt32,     kInt64,      kString,
                              kBool,    kFloat16, kDouble, kUint32, kUint64, kComplex64, kComplex128, kBfloat16};
  const auto index = static_cast<size_t>(number) - 1;
  return number >= 1 && index < kTypes.size() ? std::optional(kTypes[index]) : std::nullopt;
}

std::string onnx_dtype(int number) {
  constexpr int kFirstOther = 17;
  constexpr std::array kOthers{"float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "uint4",
                               "int4",          "float4_e2m1"};
  if (number == 0) return "?";
  if (const auto dtype = dtype_of(number)) return dtype_name(*dtype);
  const auto index = static_cast<size_t>(number - kFirstOther);
  return number >= kFirstOther && index < kOthers.size() ? kOthers[index] : fmt::format("type {}", number);
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

// The numbers that a tensor lists one by one, as bytes.
std::string listed_numbers(const onnx::TensorProto& tensor, TensorDtype dtype) {
  switch (dtype) {
    case TensorDtype::kFloat32:
    case TensorDtype::kComplex64:
      return bytes_as<float>(tensor.float_data());
    case TensorDtype::kDouble:
    case TensorDtype::kComplex128:
      return bytes_as<double>(tensor.double_data());
    case TensorDtype::kInt64:
      return bytes_as<int64_t>(tensor.int64_data());
    case TensorDtype::kUint64:
      return bytes_as<uint64_t>(tensor.uint64_data());
    case TensorDtype::kUint32:
      return bytes_as<uint32_t>(tensor.uint64_data());
    case TensorDtype::kInt32:
      return bytes_as<int32_t>(tensor.int32_data());
    default:
      return dtype_size(dtype) == 1 ? bytes_as<uint8_t>(tensor.int32_data()) : bytes_as<uint16_t>(tensor.int32_data());
  }
}

std::vector<InspectValue> onnx_tensor_row(const onnx::TensorProto& tensor, InspectReport& report) {
  const auto dtype = dtype_of(tensor.data_type());
  const std::vector<int64_t> shape(tensor.dims().begin(), tensor.dims().end());
  ValueStats stats(dtype.value_or(TensorDtype::kString));
  if (tensor.data_location() == onnx::TensorProto::EXTERNAL) {
    report.add_fact("external data", fmt::format("{} and maybe others: not read", tensor.name()));
  } else if (dtype == TensorDtype::kString) {
    check_count(tensor.name(), shape, tensor.string_data_size(), report);
  } else if (dtype) {
    stats.add(tensor.raw_data());
    stats.add(listed_numbers(tensor, *dtype));
    check_count(tensor.name(), shape, stats.count(), report);
  }
  return tensor_row(tensor.name(), onnx_dtype(tensor.data_type()), shape_text(shape), stats);
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
