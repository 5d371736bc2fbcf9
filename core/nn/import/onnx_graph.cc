// SPDX-License-Identifier: Apache-2.0
#include "core/nn/import/onnx_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/nn/import/limits.h"
#include "io/proto/onnx.pb.h"

namespace lockstep {
namespace {

constexpr int64_t kOldestOpset = 7;  // before it operators broadcast by attributes

bool is_onnx_domain(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

int64_t opset_of(const onnx::ModelProto& model) {
  for (const auto& opset : model.opset_import()) {
    if (is_onnx_domain(opset.domain())) return opset.version();
  }
  return 0;
}

bool reshapes(const std::string& op) {
  return op == "Reshape" || op == "Squeeze" || op == "Unsqueeze" || op == "Transpose" || op == "Flatten";
}

std::vector<int64_t> dims_of(const onnx::TensorProto& tensor) { return {tensor.dims().begin(), tensor.dims().end()}; }

// False when the tensor has not exactly `count` numbers of its type.
template <typename T, typename List>
bool take_elements(const onnx::TensorProto& tensor, const List& list, int64_t count, std::vector<T>* out) {
  if (!tensor.raw_data().empty()) {
    if (tensor.raw_data().size() % sizeof(T) != 0 ||
        tensor.raw_data().size() / sizeof(T) != static_cast<size_t>(count)) {
      return false;
    }
    out->resize(static_cast<size_t>(count));
    std::memcpy(out->data(), tensor.raw_data().data(), tensor.raw_data().size());
    return true;
  }
  if (list.size() != count) return false;
  out->assign(list.begin(), list.end());
  return true;
}

bool is_external(const onnx::TensorProto& tensor) {
  return tensor.data_location() == onnx::TensorProto::EXTERNAL || tensor.external_data_size() > 0;
}

}  // namespace

const onnx::AttributeProto* find_attr(const onnx::NodeProto& node, std::string_view name) {
  for (const auto& attribute : node.attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

int64_t int_attr(const onnx::NodeProto& node, std::string_view name, int64_t otherwise) {
  const onnx::AttributeProto* attr = find_attr(node, name);
  return attr == nullptr ? otherwise : attr->i();
}

float float_attr(const onnx::NodeProto& node, std::string_view name, float otherwise) {
  const onnx::AttributeProto* attr = find_attr(node, name);
  return attr == nullptr ? otherwise : attr->f();
}

std::string string_attr(const onnx::NodeProto& node, std::string_view name, std::string_view otherwise) {
  const onnx::AttributeProto* attr = find_attr(node, name);
  return attr == nullptr ? std::string(otherwise) : attr->s();
}

std::vector<int64_t> ints_attr(const onnx::NodeProto& node, std::string_view name) {
  const onnx::AttributeProto* attr = find_attr(node, name);
  if (attr == nullptr) return {};
  return {attr->ints().begin(), attr->ints().end()};
}

absl::Status OnnxGraph::check(const onnx::ModelProto& model, const std::string& path) {
  if (!model.has_graph()) return absl::DataLossError(fmt::format("{}: an ONNX model without a graph", path));
  if (opset_of(model) < kOldestOpset) {
    return absl::UnimplementedError(
        fmt::format("{}: opset {}; supported: {} and later", path, opset_of(model), kOldestOpset));
  }
  std::map<std::string_view, int> makers;
  for (const auto& node : model.graph().node()) {
    for (const std::string& output : node.output()) {
      if (!output.empty() && ++makers[output] > 1) {
        return absl::DataLossError(fmt::format("{}: two nodes make the tensor `{}`", path, output));
      }
    }
  }
  return absl::OkStatus();
}

OnnxGraph::OnnxGraph(const onnx::ModelProto& model, std::string path) : model_(model), path_(std::move(path)) {
  for (const auto& node : model_.graph().node()) {
    // Further outputs (the mask of a Dropout) belong to no network of this family.
    if (node.output_size() > 0 && !node.output(0).empty()) producers_.emplace(node.output(0), &node);
  }
  for (const auto& tensor : model_.graph().initializer()) initializers_.emplace(tensor.name(), &tensor);
  for (const onnx::ValueInfoProto* input : inputs()) inputs_.emplace(input->name(), input);
}

std::vector<const onnx::ValueInfoProto*> OnnxGraph::inputs() const {
  std::vector<const onnx::ValueInfoProto*> inputs;
  for (const auto& input : model_.graph().input()) {
    if (!initializers_.contains(input.name())) inputs.push_back(&input);
  }
  return inputs;
}

std::vector<std::string> OnnxGraph::outputs() const {
  std::vector<std::string> outputs;
  for (const auto& output : model_.graph().output()) outputs.push_back(output.name());
  return outputs;
}

std::string OnnxGraph::describe(const onnx::NodeProto& node) {
  const std::string& name = node.name().empty() && node.output_size() > 0 ? node.output(0) : node.name();
  const std::string domain = is_onnx_domain(node.domain()) ? "" : node.domain() + ".";
  return fmt::format("node `{}` ({}{})", name, domain, node.op_type());
}

absl::Status OnnxGraph::error(const onnx::NodeProto& node, std::string_view problem) const {
  return absl::InvalidArgumentError(fmt::format("{}: {}: {}", path_, describe(node), problem));
}

absl::Status OnnxGraph::unsupported(const onnx::NodeProto& node, std::string_view problem) const {
  return absl::UnimplementedError(fmt::format("{}: {}: {}", path_, describe(node), problem));
}

absl::Status OnnxGraph::step(const std::string& tensor) {
  if (++steps_ <= kMaxImportSteps) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{}: tensor `{}`: the graph goes round in circles, or needs more than {} steps to read", path_,
                  tensor, kMaxImportSteps));
}

absl::StatusOr<const onnx::NodeProto*> OnnxGraph::producer(const std::string& tensor) {
  LOCKSTEP_RETURN_IF_ERROR(step(tensor));
  if (const auto it = producers_.find(tensor); it != producers_.end()) {
    if (is_onnx_domain(it->second->domain())) return it->second;
    return unsupported(*it->second, "an operator of another domain than ONNX's own");
  }
  if (initializers_.contains(tensor) || inputs_.contains(tensor)) return nullptr;
  return absl::InvalidArgumentError(fmt::format("{}: no node makes the tensor `{}`", path_, tensor));
}

absl::StatusOr<std::string> OnnxGraph::skip_copies(std::string tensor) {
  while (true) {
    LOCKSTEP_ASSIGN_OR_RETURN(const onnx::NodeProto* node, producer(tensor));
    if (node == nullptr) return tensor;
    const bool copy = node->op_type() == "Identity" ||
                      (node->op_type() == "Cast" && int_attr(*node, "to", 0) == onnx::TensorProto::FLOAT);
    if (!copy) return tensor;
    LOCKSTEP_ASSIGN_OR_RETURN(tensor, input(*node, 0));
  }
}

absl::StatusOr<std::string> OnnxGraph::input(const onnx::NodeProto& node, int index) const {
  if (index < node.input_size() && !node.input(index).empty()) return node.input(index);
  return error(node, fmt::format("expected an input {}, found {} inputs", index, node.input_size()));
}

const onnx::TensorProto* OnnxGraph::constant(const std::string& tensor, const onnx::NodeProto* node) const {
  if (node == nullptr) {
    const auto it = initializers_.find(tensor);
    return it == initializers_.end() ? nullptr : it->second;
  }
  if (node->op_type() != "Constant") return nullptr;
  const onnx::AttributeProto* value = find_attr(*node, "value");
  return value != nullptr && value->has_t() ? &value->t() : nullptr;
}

// --- Weights ---

absl::StatusOr<bool> OnnxGraph::is_param(std::string tensor) {
  while (true) {
    LOCKSTEP_ASSIGN_OR_RETURN(tensor, skip_copies(tensor));
    LOCKSTEP_ASSIGN_OR_RETURN(const onnx::NodeProto* node, producer(tensor));
    if (constant(tensor, node) != nullptr) return true;
    if (node == nullptr || !reshapes(node->op_type())) return false;
    LOCKSTEP_ASSIGN_OR_RETURN(tensor, input(*node, 0));
  }
}

absl::StatusOr<ParamTensor> OnnxGraph::param(const std::string& tensor) { return param_at(tensor, 0); }

absl::StatusOr<ParamTensor> OnnxGraph::param_at(const std::string& use, int depth) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string tensor, skip_copies(use));
  LOCKSTEP_ASSIGN_OR_RETURN(const onnx::NodeProto* node, producer(tensor));
  const std::string where = fmt::format("{}: tensor `{}`", path_, tensor);
  if (const onnx::TensorProto* value = constant(tensor, node)) {
    if (is_external(*value)) {
      return absl::UnimplementedError(
          fmt::format("{}: its numbers are in another file; save the model as one file", where));
    }
    if (value->data_type() != onnx::TensorProto::FLOAT) {
      return absl::UnimplementedError(
          fmt::format("{}: a weight of ONNX's type {}; supported: float32 (1)", where, value->data_type()));
    }
    ParamTensor param{.source = tensor, .shape = dims_of(*value), .values = {}};
    const auto elements = param_elements(param.shape);
    if (!elements.ok() || !take_elements(*value, value->float_data(), *elements, &param.values)) {
      return absl::DataLossError(fmt::format("{}: not as many numbers as its shape says", where));
    }
    return param;
  }
  if (node == nullptr || !reshapes(node->op_type()) || depth > kMaxImportDepth) {
    return absl::UnimplementedError(
        fmt::format("{}: is no weight; supported: initializers and constants, perhaps "
                    "reshaped or transposed",
                    where));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string from, input(*node, 0));
  LOCKSTEP_ASSIGN_OR_RETURN(ParamTensor param, param_at(from, depth + 1));
  const SizesOf unknown = [](const std::string&) { return std::nullopt; };
  const std::string& op = node->op_type();
  absl::Status status;
  if (op == "Transpose") {
    std::vector<int64_t> order = ints_attr(*node, "perm");
    if (order.empty()) {
      for (size_t i = param.shape.size(); i-- > 0;) order.push_back(static_cast<int64_t>(i));
    }
    status = transpose_param(order, &param);
  } else if (op == "Reshape") {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string list, input(*node, 1));
    LOCKSTEP_ASSIGN_OR_RETURN(std::vector<int64_t> target, integers(list, unknown));
    for (size_t i = 0; i < target.size() && i < param.shape.size(); ++i) {
      if (target[i] == 0 && int_attr(*node, "allowzero", 0) == 0) target[i] = param.shape[i];
    }
    status = reshape_param(target, &param);
  } else if (op == "Flatten") {
    return unsupported(*node, "a flattened weight");
  } else {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto list, axes(*node, unknown));
    status = op == "Squeeze" ? squeeze_param(list, &param) : expand_param(list, &param);
  }
  if (!status.ok()) return error(*node, std::string(status.message()));
  return param;
}

const onnx::TensorProto* OnnxGraph::constant_behind(const std::string& use) {
  const auto tensor = skip_copies(use);
  if (!tensor.ok()) return nullptr;
  const auto node = producer(*tensor);
  const onnx::TensorProto* value = node.ok() ? constant(*tensor, *node) : nullptr;
  return value == nullptr || is_external(*value) ? nullptr : value;
}

std::optional<double> OnnxGraph::scalar(const std::string& tensor) {
  const onnx::TensorProto* value = constant_behind(tensor);
  std::vector<float> number;
  const bool good = value != nullptr && value->data_type() == onnx::TensorProto::FLOAT &&
                    take_elements(*value, value->float_data(), 1, &number);
  return good ? std::optional<double>(number[0]) : std::nullopt;
}

std::optional<bool> OnnxGraph::flag(const std::string& tensor) {
  const onnx::TensorProto* value = constant_behind(tensor);
  if (value == nullptr || value->data_type() != onnx::TensorProto::BOOL) return std::nullopt;
  if (value->raw_data().size() == 1) return value->raw_data()[0] != 0;
  if (!value->raw_data().empty() || value->int32_data_size() != 1) return std::nullopt;
  return value->int32_data(0) != 0;  // as it is: its lowest byte alone would make false of 256
}

// --- Shapes ---

absl::StatusOr<std::vector<int64_t>> OnnxGraph::integers(const std::string& tensor, const SizesOf& sizes_of) {
  return integers_at(tensor, sizes_of, 0);
}

// Of Squeeze and Unsqueeze: an attribute until opset 12, then an input.
absl::StatusOr<std::vector<int64_t>> OnnxGraph::axes(const onnx::NodeProto& node, const SizesOf& sizes_of) {
  if (node.input_size() < 2) return ints_attr(node, "axes");
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string list, input(node, 1));
  return integers(list, sizes_of);
}

absl::StatusOr<std::vector<int64_t>> OnnxGraph::integers_at(const std::string& use, const SizesOf& sizes_of,
                                                            int depth) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string tensor, skip_copies(use));
  LOCKSTEP_ASSIGN_OR_RETURN(const onnx::NodeProto* node, producer(tensor));
  if (const onnx::TensorProto* value = constant(tensor, node)) {
    const auto elements = param_elements(dims_of(*value));
    std::vector<int64_t> values;
    std::vector<int32_t> narrow;
    bool good = elements.ok() && *elements <= kMaxShapeIntegers && !is_external(*value);
    if (good && value->data_type() == onnx::TensorProto::INT32) {
      good = take_elements(*value, value->int32_data(), *elements, &narrow);
      values.assign(narrow.begin(), narrow.end());
    } else {
      good = good && value->data_type() == onnx::TensorProto::INT64 &&
             take_elements(*value, value->int64_data(), *elements, &values);
    }
    if (good) return values;
    return absl::InvalidArgumentError(
        fmt::format("{}: tensor `{}`: expected at most {} integers", path_, tensor, kMaxShapeIntegers));
  }
  if (node == nullptr) {
    return absl::UnimplementedError(fmt::format("{}: tensor `{}`: a shape that is fed", path_, tensor));
  }
  if (depth > kMaxImportDepth) return error(*node, "too many operators make this shape");
  return compute(*node, sizes_of, depth);
}

absl::StatusOr<std::vector<int64_t>> OnnxGraph::compute(const onnx::NodeProto& node, const SizesOf& sizes_of,
                                                        int depth) {
  const std::string& op = node.op_type();
  const auto operand = [&](int index) -> absl::StatusOr<std::vector<int64_t>> {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string tensor, input(node, index));
    return integers_at(tensor, sizes_of, depth + 1);
  };
  const auto unknown = [&] { return unsupported(node, "a shape that is computed in a way that is not supported"); };
  if (op == "Constant") {
    if (find_attr(node, "value_int") != nullptr) return std::vector<int64_t>{int_attr(node, "value_int", 0)};
    return ints_attr(node, "value_ints");
  }
  if (op == "Shape") return shape(node, sizes_of);
  if (op == "Cast" || op == "Squeeze" || op == "Unsqueeze" || op == "Reshape") return operand(0);
  if (op == "Slice") return slice(node, sizes_of, depth);
  if (op == "Concat") {
    std::vector<int64_t> all;
    for (int i = 0; i < node.input_size(); ++i) {
      LOCKSTEP_ASSIGN_OR_RETURN(const auto part, operand(i));
      all.insert(all.end(), part.begin(), part.end());
      if (static_cast<int64_t>(all.size()) > kMaxShapeIntegers) return unknown();
    }
    return all;
  }
  if (op == "Gather") {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto list, operand(0));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto indices, operand(1));
    std::vector<int64_t> picked;
    for (int64_t index : indices) {
      index += index < 0 ? static_cast<int64_t>(list.size()) : 0;
      if (index < 0 || index >= static_cast<int64_t>(list.size())) return unknown();
      picked.push_back(list[static_cast<size_t>(index)]);
    }
    return picked;
  }
  return unknown();
}

absl::StatusOr<std::vector<int64_t>> OnnxGraph::shape(const onnx::NodeProto& node, const SizesOf& sizes_of) {
  LOCKSTEP_ASSIGN_OR_RETURN(std::string of, input(node, 0));
  LOCKSTEP_ASSIGN_OR_RETURN(of, skip_copies(of));
  const auto sizes = sizes_of(of);
  const bool whole = find_attr(node, "end") == nullptr && int_attr(node, "start", 0) == 0;
  if (sizes && whole) return *sizes;
  return unsupported(node, fmt::format("the shape of `{}` is needed, which the network does not use", of));
}

absl::StatusOr<std::vector<int64_t>> OnnxGraph::slice(const onnx::NodeProto& node, const SizesOf& sizes_of, int depth) {
  // Inputs since opset 10: data, starts, ends, axes, steps.
  std::vector<std::vector<int64_t>> in;
  for (int i = 0; i < node.input_size(); ++i) {
    LOCKSTEP_ASSIGN_OR_RETURN(auto list, integers_at(node.input(i), sizes_of, depth + 1));
    in.push_back(std::move(list));
  }
  const bool plain = in.size() >= 3 && in[1].size() == 1 && in[2].size() == 1 &&
                     (in.size() < 4 || in[3] == std::vector<int64_t>{0}) &&
                     (in.size() < 5 || in[4] == std::vector<int64_t>{1});
  if (!plain) return unsupported(node, "a shape that is computed in a way that is not supported");
  const auto count = static_cast<int64_t>(in[0].size());
  const auto clamp = [count](int64_t at) {
    if (at < -count) return int64_t{0};
    return std::min(at < 0 ? at + count : at, count);
  };
  const int64_t first = clamp(in[1][0]), last = clamp(in[2][0]);
  return first < last ? std::vector<int64_t>(in[0].begin() + first, in[0].begin() + last) : std::vector<int64_t>{};
}

}  // namespace lockstep
