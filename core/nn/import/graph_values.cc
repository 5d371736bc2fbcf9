// SPDX-License-Identifier: Apache-2.0
#include "core/nn/import/graph_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "core/nn/import/limits.h"
#include "io/proto/graph.pb.h"

namespace lockstep {
namespace {

constexpr int64_t kMaxFilledElements = int64_t{1} << 24;  // of a constant that repeats one number

// Operators whose output 0 is their input 0, in a graph that is run to predict.
constexpr std::string_view kCopies[] = {"Identity", "IdentityN",     "StopGradient", "PreventGradient", "Snapshot",
                                        "Enter",    "CheckNumerics", "EnsureShape",  "ReadVariableOp",  "Switch"};
// What may stand between a weight and its use.
constexpr std::string_view kReshapes[] = {"Reshape", "Squeeze", "ExpandDims", "Transpose", "Cast"};

template <size_t N>
bool is_one_of(const std::string_view (&ops)[N], const std::string& op) {
  return std::find(std::begin(ops), std::end(ops), op) != std::end(ops);
}

const proto::TensorProto* constant(const TensorRef& tensor) {
  if (tensor.node->op() != "Const") return nullptr;
  const proto::AttrValue* value = find_attr(*tensor.node, "value");
  return value != nullptr && value->has_tensor() ? &value->tensor() : nullptr;
}

std::vector<int64_t> shape_of(const proto::TensorProto& tensor) {
  std::vector<int64_t> shape;
  for (const auto& dim : tensor.tensor_shape().dim()) shape.push_back(dim.size());
  return shape;
}

// `count` elements of a constant: raw bytes, or a list whose last number stands for all that follow; no number at all
// is zeros, as TensorFlow's optimizer writes them. False when there are too few or too many, or too many to make from
// one number.
template <typename T, typename List>
bool take_elements(const proto::TensorProto& tensor, const List& list, int64_t count, std::vector<T>* out) {
  const auto size = static_cast<size_t>(count);
  if (!tensor.tensor_content().empty()) {
    if (tensor.tensor_content().size() % sizeof(T) != 0 || tensor.tensor_content().size() / sizeof(T) != size) {
      return false;
    }
    out->resize(size);
    std::memcpy(out->data(), tensor.tensor_content().data(), tensor.tensor_content().size());
    return true;
  }
  if (list.size() > count || (list.size() < count && count > kMaxFilledElements)) return false;
  out->assign(list.begin(), list.end());
  out->resize(size, out->empty() ? T{} : out->back());
  return true;
}

absl::StatusOr<std::vector<int64_t>> constant_values(const GraphView& graph, const TensorRef& at,
                                                     const proto::TensorProto& tensor) {
  const auto elements = param_elements(shape_of(tensor));
  if (!elements.ok() || *elements > kMaxShapeIntegers || tensor.tensor_shape().dim_size() > 1) {
    return graph.error(at, fmt::format("expected a list of at most {} integers", kMaxShapeIntegers));
  }
  std::vector<int64_t> values;
  std::vector<int32_t> narrow;
  bool good = false;
  if (tensor.dtype() == proto::DT_INT64) good = take_elements(tensor, tensor.int64_val(), *elements, &values);
  if (tensor.dtype() == proto::DT_INT32) {
    good = take_elements(tensor, tensor.int_val(), *elements, &narrow);
    values.assign(narrow.begin(), narrow.end());
  }
  if (good) return values;
  return graph.error(at, "expected a constant of int32 or int64 with as many numbers as its shape says");
}

}  // namespace

absl::StatusOr<TensorRef> GraphValues::skip_copies(TensorRef tensor, std::vector<TensorRef>* skipped) {
  while (is_one_of(kCopies, tensor.node->op())) {
    if (skipped != nullptr) skipped->push_back(tensor);
    const bool many = tensor.node->op() == "IdentityN";
    LOCKSTEP_ASSIGN_OR_RETURN(tensor, graph_.input(tensor, many ? tensor.port : 0));
  }
  return tensor;
}

// --- Weights ---

absl::StatusOr<bool> GraphValues::is_param(TensorRef tensor) {
  while (true) {
    LOCKSTEP_ASSIGN_OR_RETURN(tensor, skip_copies(tensor));
    const std::string& op = tensor.node->op();
    if (op == "Const" || GraphVariables::is_variable(*tensor.node)) return true;
    if (!is_one_of(kReshapes, op)) return false;
    LOCKSTEP_ASSIGN_OR_RETURN(tensor, graph_.input(tensor, 0));
  }
}

absl::StatusOr<ParamTensor> GraphValues::param(TensorRef tensor) { return param_at(tensor, 0); }

absl::StatusOr<ParamTensor> GraphValues::param_at(const TensorRef& use, int depth) {
  LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef tensor, skip_copies(use));
  if (depth > kMaxImportDepth) return graph_.error(tensor, "too many operators make this weight");
  const std::string& op = tensor.node->op();
  if (GraphVariables::is_variable(*tensor.node)) return variables_.read(graph_, tensor);
  if (const proto::TensorProto* value = constant(tensor)) {
    if (value->dtype() != proto::DT_FLOAT) {
      return graph_.unsupported(tensor, fmt::format("a weight of TensorFlow's type {}; supported: float32 (1)",
                                                    static_cast<int>(value->dtype())));
    }
    ParamTensor param{.source = tensor.node->name(), .shape = shape_of(*value), .values = {}};
    const auto elements = param_elements(param.shape);
    if (!elements.ok() || !take_elements(*value, value->float_val(), *elements, &param.values)) {
      return graph_.error(tensor, "a constant without as many numbers as its shape says");
    }
    return param;
  }
  if (!is_one_of(kReshapes, op)) {
    return graph_.unsupported(tensor, "is no weight; supported: variables and constants, perhaps reshaped");
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef from, graph_.input(tensor, 0));
  LOCKSTEP_ASSIGN_OR_RETURN(ParamTensor param, param_at(from, depth + 1));  // float32 here, so a Cast changes nothing
  if (op == "Cast") {
    const proto::AttrValue* to = find_attr(*tensor.node, "DstT");
    if (to == nullptr || to->type() != proto::DT_FLOAT) return graph_.unsupported(tensor, "a weight not in float32");
    return param;
  }
  absl::Status status;
  if (op == "Squeeze") {
    status = squeeze_param(ints_attr(*tensor.node, "squeeze_dims"), &param);
  } else {
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef argument, graph_.input(tensor, 1));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto numbers, constant_integers(argument));
    if (op == "Reshape") status = reshape_param(numbers, &param);
    if (op == "ExpandDims") status = expand_param(numbers, &param);
    if (op == "Transpose") status = transpose_param(numbers, &param);
  }
  if (!status.ok()) return graph_.error(tensor, std::string(status.message()));
  return param;
}

// --- Shapes ---

absl::StatusOr<std::vector<int64_t>> GraphValues::integers(TensorRef tensor, const SizesOf& sizes_of) {
  return integers_at(tensor, sizes_of, 0);
}

absl::StatusOr<std::vector<int64_t>> GraphValues::constant_integers(TensorRef tensor) {
  return integers_at(
      tensor, [](const TensorRef&) { return std::nullopt; }, 0);
}

// Evaluates shape arithmetic over short lists. Lists and scalars are not told apart: a scalar is a list of one.
class ShapeArithmetic {
 public:
  using List = std::vector<int64_t>;
  using Evaluate = std::function<absl::StatusOr<List>(int input)>;

  ShapeArithmetic(const GraphView& graph, const TensorRef& tensor, Evaluate evaluate)
      : graph_(graph), tensor_(tensor), evaluate_(std::move(evaluate)) {}

  absl::StatusOr<List> run() {
    const std::string& op = tensor_.node->op();
    if (op == "Cast" || op == "Reshape" || op == "Squeeze" || op == "ExpandDims") return evaluate_(0);
    if (op == "Pack") return join(data_input_count(*tensor_.node), int_attr(*tensor_.node, "axis", 0) == 0);
    if (op == "ConcatV2") return join(data_input_count(*tensor_.node) - 1, true);
    if (op == "Slice") return slice();
    if (op == "StridedSlice") return strided_slice();
    if (op == "Gather" || op == "GatherV2") return gather();
    if (op == "Prod") return product();
    if (op == "Mul") return multiply();
    return unknown();
  }

 private:
  absl::Status unknown() const {
    return graph_.unsupported(tensor_, "a shape that is computed in a way that is not supported");
  }

  absl::StatusOr<List> join(int count, bool along_front) {
    if (!along_front) return unknown();
    List all;
    for (int i = 0; i < count; ++i) {
      LOCKSTEP_ASSIGN_OR_RETURN(const List part, evaluate_(i));
      all.insert(all.end(), part.begin(), part.end());
      if (static_cast<int64_t>(all.size()) > kMaxShapeIntegers) return unknown();
    }
    return all;
  }

  absl::StatusOr<List> slice() {
    LOCKSTEP_ASSIGN_OR_RETURN(const List list, evaluate_(0));
    LOCKSTEP_ASSIGN_OR_RETURN(const List begin, evaluate_(1));
    LOCKSTEP_ASSIGN_OR_RETURN(const List size, evaluate_(2));
    const auto count = static_cast<int64_t>(list.size());
    if (begin.size() != 1 || size.size() != 1 || begin[0] < 0 || begin[0] > count || size[0] < -1 ||
        size[0] > count - begin[0]) {
      return unknown();
    }
    const int64_t end = size[0] == -1 ? count : begin[0] + size[0];
    return List(list.begin() + begin[0], list.begin() + end);
  }

  absl::StatusOr<List> strided_slice() {
    const proto::NodeDef& node = *tensor_.node;
    LOCKSTEP_ASSIGN_OR_RETURN(const List list, evaluate_(0));
    LOCKSTEP_ASSIGN_OR_RETURN(const List begin, evaluate_(1));
    LOCKSTEP_ASSIGN_OR_RETURN(const List end, evaluate_(2));
    LOCKSTEP_ASSIGN_OR_RETURN(const List strides, evaluate_(3));
    const bool plain = begin.size() == 1 && end.size() == 1 && strides == List{1} &&
                       int_attr(node, "ellipsis_mask", 0) == 0 && int_attr(node, "new_axis_mask", 0) == 0;
    if (!plain) return unknown();
    const auto count = static_cast<int64_t>(list.size());
    const auto clamp = [count](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + count : at, 0, count); };
    const int64_t first = int_attr(node, "begin_mask", 0) == 1 ? 0 : clamp(begin[0]);
    int64_t last = int_attr(node, "end_mask", 0) == 1 ? count : clamp(end[0]);
    if (int_attr(node, "shrink_axis_mask", 0) == 1) {
      if (begin[0] < -count || begin[0] >= count) return unknown();
      last = first + 1;
    }
    return first < last ? List(list.begin() + first, list.begin() + last) : List{};
  }

  absl::StatusOr<List> gather() {
    LOCKSTEP_ASSIGN_OR_RETURN(const List list, evaluate_(0));
    LOCKSTEP_ASSIGN_OR_RETURN(const List indices, evaluate_(1));
    List picked;
    for (const int64_t index : indices) {
      if (index < 0 || index >= static_cast<int64_t>(list.size())) return unknown();
      picked.push_back(list[static_cast<size_t>(index)]);
    }
    return picked;
  }

  absl::StatusOr<List> product() {
    LOCKSTEP_ASSIGN_OR_RETURN(const List list, evaluate_(0));
    return times(list);
  }

  absl::StatusOr<List> multiply() {
    LOCKSTEP_ASSIGN_OR_RETURN(const List a, evaluate_(0));
    LOCKSTEP_ASSIGN_OR_RETURN(const List b, evaluate_(1));
    if (a.size() != 1 || b.size() != 1) return unknown();
    return times({a[0], b[0]});
  }

  absl::StatusOr<List> times(const List& factors) const {
    // A size open in one axis (-1) is none that can be multiplied.
    const bool good = std::all_of(factors.begin(), factors.end(), [](int64_t size) { return size >= 0; });
    const auto elements = good ? param_elements(factors) : absl::StatusOr<int64_t>(unknown());
    if (!elements.ok()) return unknown();
    return List{*elements};
  }

  const GraphView& graph_;
  const TensorRef tensor_;
  const Evaluate evaluate_;
};

absl::StatusOr<std::vector<int64_t>> GraphValues::integers_at(const TensorRef& use, const SizesOf& sizes_of,
                                                              int depth) {
  LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef tensor, skip_copies(use));
  if (depth > kMaxImportDepth) return graph_.error(tensor, "too many operators make this shape");
  if (const proto::TensorProto* value = constant(tensor)) return constant_values(graph_, tensor, *value);
  if (tensor.node->op() == "Shape") {
    LOCKSTEP_ASSIGN_OR_RETURN(TensorRef of, graph_.input(tensor, 0));
    LOCKSTEP_ASSIGN_OR_RETURN(of, skip_copies(of));
    if (const auto sizes = sizes_of(of)) return *sizes;
    return graph_.unsupported(
        tensor, fmt::format("the shape of {} is needed, which the network does not use", graph_.describe(of)));
  }
  const auto evaluate = [&](int index) -> absl::StatusOr<std::vector<int64_t>> {
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef input, graph_.input(tensor, index));
    return integers_at(input, sizes_of, depth + 1);
  };
  return ShapeArithmetic(graph_, tensor, evaluate).run();
}

// --- Scalars ---

std::optional<double> GraphValues::scalar(TensorRef tensor) { return scalar_at(tensor, 0); }

std::optional<double> GraphValues::scalar_at(const TensorRef& use, int depth) {
  const auto found = skip_copies(use);
  if (!found.ok() || depth > kMaxImportDepth) return std::nullopt;
  const TensorRef tensor = *found;
  const std::string& op = tensor.node->op();
  if (const proto::TensorProto* value = constant(tensor)) {
    const auto elements = param_elements(shape_of(*value));
    if (!elements.ok() || *elements != 1) return std::nullopt;
    std::vector<float> number;
    if (value->dtype() == proto::DT_BOOL) {
      if (!value->tensor_content().empty()) return value->tensor_content()[0] != 0 ? 1 : 0;
      return value->bool_val_size() == 1 && value->bool_val(0) ? 1 : 0;
    }
    if (value->dtype() != proto::DT_FLOAT || !take_elements(*value, value->float_val(), 1, &number)) {
      return std::nullopt;
    }
    return number[0];
  }
  const auto operand = [&](int index) -> std::optional<double> {
    const auto input = graph_.input(tensor, index);
    return input.ok() ? scalar_at(*input, depth + 1) : std::nullopt;
  };
  if (op == "PlaceholderWithDefault" || op == "Cast") return operand(0);
  if (op == "LogicalNot") {
    const auto a = operand(0);
    return a ? std::optional<double>(*a == 0) : std::nullopt;
  }
  if (op != "Sub" && op != "RealDiv" && op != "LogicalAnd" && op != "LogicalOr") return std::nullopt;
  const auto a = operand(0);
  const auto b = a ? operand(1) : std::nullopt;
  if (!b) return std::nullopt;
  if (op == "Sub") return *a - *b;
  if (op == "RealDiv") return *a / *b;
  if (op == "LogicalAnd") return *a != 0 && *b != 0;
  return *a != 0 || *b != 0;
}

}  // namespace lockstep
