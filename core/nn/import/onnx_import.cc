// SPDX-License-Identifier: Apache-2.0
#include "core/nn/import/onnx_import.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "core/nn/import/import_error.h"
#include "core/nn/import/layer_chain.h"
#include "core/nn/import/onnx_graph.h"
#include "core/nn/import/shape_list.h"
#include "io/proto/onnx.pb.h"
#include "io/protobuf_bytes.h"

namespace lockstep {
namespace {

constexpr std::string_view kSupported =
    "Supported: Conv, Relu, MaxPool, Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Gemm, MatMul, Add of a bias, "
    "Dropout, Identity, and Softmax, LogSoftmax or ArgMax at the end";

class OnnxImporter {
 public:
  OnnxImporter(const onnx::ModelProto& model, const std::string& path)
      : graph_(model, path), chain_(path, ImageLayout::kChannelsFirst) {}

  absl::StatusOr<TrainedModel> run() {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string logits, find_logits());
    LOCKSTEP_ASSIGN_OR_RETURN(const auto steps, walk(logits));
    LOCKSTEP_RETURN_IF_ERROR(start(input_));
    for (const onnx::NodeProto* node : steps) {
      LOCKSTEP_RETURN_IF_ERROR(add(*node));
      remember(node->output(0));
    }
    return chain_.finish();
  }

 private:
  // --- From the outputs back to the input ---

  absl::StatusOr<std::string> find_logits() {
    std::optional<std::string> logits;
    std::string first;
    for (const std::string& output : graph_.outputs()) {
      std::string kind;
      LOCKSTEP_ASSIGN_OR_RETURN(const std::string tensor, strip(output, &kind));
      if (logits && tensor != *logits) {
        return absl::UnimplementedError(
            fmt::format("{}: output `{}` is computed from `{}`, but output `{}` from `{}`; supported: logits, softmax "
                        "and argmax of one tensor",
                        graph_.path(), output, tensor, first, *logits));
      }
      if (kind == "logits" || kind == "LogSoftmax") {
        chain_.note(fmt::format("output `{}` of the file gives {}; here it is probabilities", output,
                                kind == "logits" ? kind : "their logarithms"));
      }
      logits = tensor;
      first = output;
    }
    if (logits) return *logits;
    return absl::DataLossError(fmt::format("{}: a graph without outputs", graph_.path()));
  }

  // What an output is computed from, before ArgMax and Softmax, and the first of them that was met.
  absl::StatusOr<std::string> strip(std::string tensor, std::string* kind) {
    *kind = "logits";
    LOCKSTEP_ASSIGN_OR_RETURN(tensor, graph_.skip_copies(tensor));
    const onnx::NodeProto* cast = nullptr;
    for (const std::string_view wanted : {"Cast", "ArgMax", "Softmax"}) {
      LOCKSTEP_ASSIGN_OR_RETURN(const onnx::NodeProto* node, graph_.producer(tensor));
      if (node == nullptr) break;
      const std::string& op = node->op_type();
      if (op != wanted && !(wanted == "Softmax" && op == "LogSoftmax")) continue;
      // The axis of the classes. Before opset 13 a Softmax flattened from axis 1 on, which is the same for two axes.
      const int64_t axis = int_attr(*node, "axis", op == "ArgMax" ? 0 : -1);
      if (op != "Cast" && axis != 1 && axis != -1) return graph_.unsupported(*node, "along another axis than 1");
      if (op == "Cast") cast = node;
      if (op != "Cast" && *kind == "logits") *kind = op;
      LOCKSTEP_ASSIGN_OR_RETURN(tensor, graph_.input(*node, 0));
      LOCKSTEP_ASSIGN_OR_RETURN(tensor, graph_.skip_copies(tensor));
    }
    if (cast != nullptr && *kind != "ArgMax") return graph_.unsupported(*cast, "of anything but classes");
    // A type that has every class: there are but two booleans. (To float32 it counts as a copy.)
    const int64_t type = cast == nullptr ? 0 : int_attr(*cast, "to", 0);
    if (cast != nullptr && type != onnx::TensorProto::INT32 && type != onnx::TensorProto::INT64) {
      return graph_.unsupported(*cast, "of classes to anything but int32, int64 or float32");
    }
    return tensor;
  }

  // The nodes from the input to `tensor`, in the order of the data.
  absl::StatusOr<std::vector<const onnx::NodeProto*>> walk(std::string tensor) {
    std::vector<const onnx::NodeProto*> nodes;
    std::set<std::string> seen;
    while (true) {
      LOCKSTEP_ASSIGN_OR_RETURN(tensor, graph_.skip_copies(tensor));
      LOCKSTEP_ASSIGN_OR_RETURN(const onnx::NodeProto* node, graph_.producer(tensor));
      if (node == nullptr) break;
      if (!seen.insert(tensor).second) return graph_.error(*node, "the graph goes round in a circle");
      nodes.push_back(node);
      LOCKSTEP_ASSIGN_OR_RETURN(tensor, data_input(*node));
    }
    input_ = tensor;
    std::reverse(nodes.begin(), nodes.end());
    return nodes;
  }

  absl::StatusOr<std::string> data_input(const onnx::NodeProto& node) {
    const std::string& op = node.op_type();
    if (op == "Add") {
      LOCKSTEP_ASSIGN_OR_RETURN(const bool first_is_bias, bias_is_first(node));
      return graph_.input(node, first_is_bias ? 1 : 0);
    }
    constexpr std::string_view kPlain[] = {"Conv",      "Relu",      "MaxPool", "Reshape", "Flatten", "Squeeze",
                                           "Unsqueeze", "Transpose", "Gemm",    "MatMul",  "Dropout"};
    if (std::find(std::begin(kPlain), std::end(kPlain), op) != std::end(kPlain)) return graph_.input(node, 0);
    if (op == "Mul" || op == "Div" || op == "Sub" || op == "Cast") {
      return graph_.unsupported(node,
                                fmt::format("calculates with the data itself. A scale of the input is not supported: "
                                            "networks here get pixels from 0 to 1, so export the model without that "
                                            "step. {}",
                                            kSupported));
    }
    return graph_.unsupported(node, fmt::format("this operator is not supported. {}", kSupported));
  }

  absl::StatusOr<bool> bias_is_first(const onnx::NodeProto& node) {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string a, graph_.input(node, 0));
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string b, graph_.input(node, 1));
    LOCKSTEP_ASSIGN_OR_RETURN(const bool a_is_param, graph_.is_param(a));
    LOCKSTEP_ASSIGN_OR_RETURN(const bool b_is_param, graph_.is_param(b));
    if (a_is_param != b_is_param) return a_is_param;
    return graph_.unsupported(node, "adds two tensors of the network; supported: the sum with a bias");
  }

  // --- And forward again ---

  absl::Status start(const std::string& tensor) {
    for (const onnx::ValueInfoProto* input : graph_.inputs()) {
      if (input->name() != tensor) continue;
      const auto& type = input->type().tensor_type();
      const std::string node = fmt::format("input `{}`", tensor);
      if (type.elem_type() != onnx::TensorProto::FLOAT) {
        return absl::UnimplementedError(
            fmt::format("{}: {}: of ONNX's type {}; supported: float32 (1)", graph_.path(), node, type.elem_type()));
      }
      std::vector<int64_t> sizes;
      for (const auto& dim : type.shape().dim()) sizes.push_back(dim.has_dim_value() ? dim.dim_value() : -1);
      if (sizes.empty()) {
        return absl::UnimplementedError(fmt::format("{}: {}: of unknown shape", graph_.path(), node));
      }
      if (sizes[0] > 0) batch_ = sizes[0];
      LOCKSTEP_RETURN_IF_ERROR(chain_.input(node, std::span(sizes).subspan(1)));
      remember(tensor);
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        fmt::format("{}: the network starts at `{}`, which is no input", graph_.path(), tensor));
  }

  void remember(const std::string& tensor) {
    std::vector<int64_t> sizes{kBatchSize};
    const std::vector<int64_t> example = chain_.sizes();
    sizes.insert(sizes.end(), example.begin(), example.end());
    sizes_[tensor] = std::move(sizes);
  }

  absl::Status add(const onnx::NodeProto& node) {
    const std::string& op = node.op_type();
    if (op == "Conv") return conv(node);
    if (op == "MaxPool") return max_pool(node);
    if (op == "Relu") return chain_.relu(OnnxGraph::describe(node));
    if (op == "Gemm") return gemm(node);
    if (op == "MatMul") return mat_mul(node);
    if (op == "Add") return bias(node);
    if (op == "Dropout") return dropout(node);
    if (op == "Transpose") return transpose(node);
    return reshape(node);
  }

  absl::StatusOr<ParamTensor> param(const onnx::NodeProto& node, int index) {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string tensor, graph_.input(node, index));
    auto param = graph_.param(tensor);
    if (!param.ok()) return needed_by(OnnxGraph::describe(node), graph_.path(), param.status());
    return param;
  }

  // `all` numbers of an attribute that is 1 everywhere unless it is given; two of them for height and width.
  absl::StatusOr<std::pair<int64_t, int64_t>> image_pair(const onnx::NodeProto& node, std::string_view name) const {
    const std::vector<int64_t> two = ints_attr(node, name);
    if (two.empty()) return std::pair<int64_t, int64_t>(1, 1);
    if (two.size() == 2) return std::pair(two[0], two[1]);
    return graph_.unsupported(node,
                              fmt::format("{} [{}]; supported: two, of height and width", name, fmt::join(two, ", ")));
  }

  absl::StatusOr<GraphWindow> window(const onnx::NodeProto& node) const {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto dilations, image_pair(node, "dilations"));
    if (dilations != std::pair<int64_t, int64_t>(1, 1)) return graph_.unsupported(node, "dilations other than 1");
    GraphWindow window;
    LOCKSTEP_ASSIGN_OR_RETURN(const auto strides, image_pair(node, "strides"));
    window.stride_h = strides.first;
    window.stride_w = strides.second;
    const std::string auto_pad = string_attr(node, "auto_pad", "NOTSET");
    if (auto_pad == "SAME_UPPER" || auto_pad == "VALID") {
      window.padding = auto_pad == "VALID" ? Padding::kValid : Padding::kSame;
      return window;
    }
    const std::vector<int64_t> pads = ints_attr(node, "pads");
    if (auto_pad != "NOTSET" || (!pads.empty() && pads.size() != 4)) {
      return graph_.unsupported(node, fmt::format("auto_pad {}, pads [{}]; supported: SAME_UPPER, VALID, or four pads",
                                                  auto_pad, fmt::join(pads, ", ")));
    }
    if (pads.empty()) {
      window.padding = Padding::kValid;
      return window;
    }
    window.top = pads[0];
    window.left = pads[1];
    window.bottom = pads[2];
    window.right = pads[3];
    return window;
  }

  absl::Status conv(const onnx::NodeProto& node) {
    if (int_attr(node, "group", 1) != 1) return graph_.unsupported(node, "a grouped convolution");
    LOCKSTEP_ASSIGN_OR_RETURN(const GraphWindow w, window(node));
    LOCKSTEP_ASSIGN_OR_RETURN(ParamTensor kernel, param(node, 1));
    constexpr int64_t kOihwToHwio[] = {2, 3, 1, 0};
    if (absl::Status status = transpose_param(kOihwToHwio, &kernel); !status.ok()) {
      return graph_.error(node, std::string(status.message()));
    }
    const std::string where = OnnxGraph::describe(node);
    LOCKSTEP_RETURN_IF_ERROR(chain_.conv(where, ImageLayout::kChannelsFirst, w, std::move(kernel)));
    if (node.input_size() < 3 || node.input(2).empty()) return absl::OkStatus();
    LOCKSTEP_ASSIGN_OR_RETURN(ParamTensor bias, param(node, 2));
    bias.shape.insert(bias.shape.end(), {1, 1});  // (K, 1, 1)
    return chain_.bias(where, std::move(bias));
  }

  absl::Status max_pool(const onnx::NodeProto& node) {
    LOCKSTEP_ASSIGN_OR_RETURN(const GraphWindow w, window(node));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto size, image_pair(node, "kernel_shape"));
    if (int_attr(node, "ceil_mode", 0) != 0) {
      const std::vector<int64_t> sizes = chain_.sizes();
      const bool whole = sizes.size() == 3 && w.stride_h > 0 && w.stride_w > 0 &&
                         (sizes[1] + w.top + w.bottom - size.first) % w.stride_h == 0 &&
                         (sizes[2] + w.left + w.right - size.second) % w.stride_w == 0;
      if (!whole) return graph_.unsupported(node, "ceil_mode, with windows that reach over the edge");
    }
    return chain_.max_pool(OnnxGraph::describe(node), ImageLayout::kChannelsFirst, size.first, size.second, w);
  }

  absl::Status gemm(const onnx::NodeProto& node) {
    const bool plain =
        float_attr(node, "alpha", 1) == 1 && float_attr(node, "beta", 1) == 1 && int_attr(node, "transA", 0) == 0;
    if (!plain) return graph_.unsupported(node, "alpha, beta or transA; supported: 1, 1 and 0");
    LOCKSTEP_ASSIGN_OR_RETURN(ParamTensor kernel, param(node, 1));
    if (int_attr(node, "transB", 0) != 0) {
      constexpr int64_t kSwap[] = {1, 0};
      if (absl::Status status = transpose_param(kSwap, &kernel); !status.ok()) {
        return graph_.error(node, std::string(status.message()));
      }
    }
    const std::string where = OnnxGraph::describe(node);
    LOCKSTEP_RETURN_IF_ERROR(chain_.dense(where, std::move(kernel)));
    if (node.input_size() < 3 || node.input(2).empty()) return absl::OkStatus();
    LOCKSTEP_ASSIGN_OR_RETURN(ParamTensor bias, param(node, 2));
    return chain_.bias(where, std::move(bias));
  }

  absl::Status mat_mul(const onnx::NodeProto& node) {
    LOCKSTEP_ASSIGN_OR_RETURN(ParamTensor kernel, param(node, 1));
    return chain_.dense(OnnxGraph::describe(node), std::move(kernel));
  }

  absl::Status bias(const onnx::NodeProto& node) {
    LOCKSTEP_ASSIGN_OR_RETURN(const bool first, bias_is_first(node));
    LOCKSTEP_ASSIGN_OR_RETURN(ParamTensor values, param(node, first ? 0 : 1));
    return chain_.bias(OnnxGraph::describe(node), std::move(values));
  }

  // An attribute until opset 11, then an input; half of the numbers where neither says so.
  absl::Status dropout(const onnx::NodeProto& node) {
    // An inference pass of ours drops nothing, so neither may the file's.
    if (node.input_size() > 2 && !node.input(2).empty() && graph_.flag(node.input(2)) != false) {
      return graph_.unsupported(node, fmt::format("its training_mode `{}` is not the constant false: it drops while it "
                                                  "predicts; export the model for inference",
                                                  node.input(2)));
    }
    std::optional<double> rate = float_attr(node, "ratio", 0.5f);
    if (node.input_size() > 1 && !node.input(1).empty()) rate = graph_.scalar(node.input(1));
    // As its author wrote it: 0.4, not the double nearest to the float nearest to it.
    if (rate) rate = std::strtod(fmt::format("{}", static_cast<float>(*rate)).c_str(), nullptr);
    return chain_.dropout(OnnxGraph::describe(node), rate);
  }

  absl::Status transpose(const onnx::NodeProto& node) {
    std::vector<int64_t> order = ints_attr(node, "perm");
    if (order.empty() || order[0] != 0) return graph_.unsupported(node, "moves the axis of the examples");
    order.erase(order.begin());
    for (int64_t& axis : order) {
      if (axis < 1 || axis > 8) return graph_.error(node, "no order of axes");
      --axis;
    }
    return chain_.transpose(OnnxGraph::describe(node), order);
  }

  absl::Status reshape(const onnx::NodeProto& node) {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<int64_t> target, target_sizes(node));
    if (const auto example = example_sizes(target, chain_.sizes(), batch_)) {
      return chain_.reshape(OnnxGraph::describe(node), *example);
    }
    return graph_.unsupported(node, fmt::format("reshapes examples of [{}] to {} in a way that mixes them",
                                                fmt::join(chain_.sizes(), ", "), sizes_text(target)));
  }

  absl::StatusOr<std::vector<int64_t>> target_sizes(const onnx::NodeProto& node) {
    const std::string& op = node.op_type();
    std::vector<int64_t> sizes = chain_.sizes();
    sizes.insert(sizes.begin(), kBatchSize);
    const auto rank = static_cast<int64_t>(sizes.size());
    const OnnxGraph::SizesOf sizes_of = [this](const std::string& tensor) {
      const auto it = sizes_.find(tensor);
      return it == sizes_.end() ? std::nullopt : std::optional(it->second);
    };
    if (op == "Flatten") {
      const int64_t axis = int_attr(node, "axis", 1);
      if (axis != 1 && axis != 1 - rank) return graph_.unsupported(node, "flattens from another axis than 1 on");
      return std::vector<int64_t>{kBatchSize, -1};
    }
    if (op == "Reshape") {
      LOCKSTEP_ASSIGN_OR_RETURN(const std::string list, graph_.input(node, 1));
      LOCKSTEP_ASSIGN_OR_RETURN(std::vector<int64_t> target, graph_.integers(list, sizes_of));
      for (size_t i = 0; i < target.size() && i < sizes.size(); ++i) {
        if (target[i] == 0 && int_attr(node, "allowzero", 0) == 0) target[i] = sizes[i];
      }
      return target;
    }
    // Squeeze and Unsqueeze, of one axis.
    std::vector<int64_t> axes = ints_attr(node, "axes");
    if (node.input_size() > 1) {
      LOCKSTEP_ASSIGN_OR_RETURN(axes, graph_.integers(node.input(1), sizes_of));
    }
    const bool squeeze = op == "Squeeze";
    const int64_t axis = axes.size() != 1 ? 0 : axes[0] < 0 ? axes[0] + rank + (squeeze ? 0 : 1) : axes[0];
    if (axis < 1 || axis >= rank + (squeeze ? 0 : 1) || (squeeze && sizes[static_cast<size_t>(axis)] != 1)) {
      return graph_.unsupported(node, fmt::format("axes [{}] of {}; supported: one of size 1, not that of the examples",
                                                  fmt::join(axes, ", "), sizes_text(sizes)));
    }
    if (squeeze) {
      sizes.erase(sizes.begin() + axis);
    } else {
      sizes.insert(sizes.begin() + axis, 1);
    }
    return sizes;
  }

  OnnxGraph graph_;
  LayerChain chain_;
  std::string input_;
  std::optional<int64_t> batch_;  // where the file fixes the number of examples
  std::map<std::string, std::vector<int64_t>> sizes_;
};

// Our export tells it; 0 otherwise.
int64_t global_step_of(const onnx::ModelProto& model) {
  int64_t step = 0;
  for (const auto& property : model.metadata_props()) {
    if (property.key() == "global_step" && absl::SimpleAtoi(property.value(), &step)) break;
  }
  return std::max<int64_t>(step, 0);
}

}  // namespace

absl::StatusOr<TrainedModel> import_onnx(std::string_view bytes, const std::string& path) {
  onnx::ModelProto model;
  if (bytes.empty() || !parse_protobuf(bytes, &model)) {
    return absl::DataLossError(
        fmt::format("{}: {} bytes that are no ONNX model; damaged or cut off?", path, bytes.size()));
  }
  LOCKSTEP_RETURN_IF_ERROR(OnnxGraph::check(model, path));
  LOCKSTEP_ASSIGN_OR_RETURN(TrainedModel imported, OnnxImporter(model, path).run());
  imported.global_step = global_step_of(model);
  return imported;
}

}  // namespace lockstep
