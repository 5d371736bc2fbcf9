// SPDX-License-Identifier: Apache-2.0
#include "core/nn/import/graph_import.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "core/nn/import/graph_head.h"
#include "core/nn/import/graph_values.h"
#include "core/nn/import/graph_variables.h"
#include "core/nn/import/graph_view.h"
#include "core/nn/import/graph_walk.h"
#include "core/nn/import/import_error.h"
#include "core/nn/import/layer_chain.h"
#include "core/nn/import/shape_list.h"
#include "io/proto/saved_model.pb.h"

namespace lockstep {
namespace {

// Follows a walk forward and builds the layers.
class LayerBuilder {
 public:
  LayerBuilder(GraphView& graph, GraphValues& values)
      : graph_(graph), values_(values), chain_(graph.path(), ImageLayout::kChannelsLast) {}

  LayerChain& chain() { return chain_; }

  absl::Status start(const TensorRef& input, std::vector<int64_t> sizes) {
    LOCKSTEP_RETURN_IF_ERROR(chain_.input(graph_.describe(input), sizes));
    remember(input);
    return absl::OkStatus();
  }

  absl::Status add(const GraphStep& step) {
    LOCKSTEP_RETURN_IF_ERROR(dispatch(step, graph_.describe(step.tensor)));
    remember(step.tensor);
    return absl::OkStatus();
  }

 private:
  absl::Status dispatch(const GraphStep& step, const std::string& node) {
    switch (step.op) {
      case GraphOp::kConv:
        return conv(step, node);
      case GraphOp::kBias:
        return bias(step, node);
      case GraphOp::kRelu:
        return chain_.relu(node);
      case GraphOp::kMaxPool:
        return max_pool(step, node);
      case GraphOp::kReshape:
        return reshape(step, node);
      case GraphOp::kTranspose:
        return transpose(step, node);
      case GraphOp::kMatMul:
        return dense(step, node);
      case GraphOp::kDropout:
        return chain_.dropout(node, step.dropout_rate);
    }
    return absl::OkStatus();
  }

  void remember(const TensorRef& tensor) {
    std::vector<int64_t> sizes{kBatchSize};
    const std::vector<int64_t> example = chain_.sizes();
    sizes.insert(sizes.end(), example.begin(), example.end());
    sizes_[tensor] = std::move(sizes);
  }

  std::optional<std::vector<int64_t>> sizes_of(const TensorRef& tensor) const {
    const auto it = sizes_.find(tensor);
    return it == sizes_.end() ? std::nullopt : std::optional(it->second);
  }

  absl::StatusOr<ParamTensor> param(const GraphStep& step) {
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef weight, graph_.input(step.tensor, step.param));
    auto param = values_.param(weight);
    if (!param.ok()) return needed_by(graph_.describe(step.tensor), graph_.path(), param.status());
    return param;
  }

  absl::StatusOr<std::vector<int64_t>> integers(const GraphStep& step, int input) {
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef list, graph_.input(step.tensor, input));
    return values_.integers(list, [this](const TensorRef& tensor) { return sizes_of(tensor); });
  }

  absl::Status check_layout(const GraphStep& step) const {
    const std::string format = string_attr(*step.tensor.node, "data_format", "NHWC");
    if (format == "NHWC") return absl::OkStatus();
    return graph_.unsupported(step.tensor, fmt::format("data_format {}; supported: NHWC", format));
  }

  // The two numbers of the image's axes in an attribute of four; those of examples and channels must be 1.
  absl::StatusOr<std::pair<int64_t, int64_t>> image_pair(const GraphStep& step, const std::string& name) const {
    const std::vector<int64_t> four = ints_attr(*step.tensor.node, name);
    if (four.size() == 4 && four[0] == 1 && four[3] == 1) return std::pair(four[1], four[2]);
    return graph_.unsupported(step.tensor,
                              fmt::format("{} [{}]; supported: [1, a, b, 1]", name, fmt::join(four, ", ")));
  }

  absl::StatusOr<GraphWindow> window(const GraphStep& step) const {
    LOCKSTEP_RETURN_IF_ERROR(check_layout(step));
    GraphWindow window;
    LOCKSTEP_ASSIGN_OR_RETURN(std::tie(window.stride_h, window.stride_w), image_pair(step, "strides"));
    const std::string padding = string_attr(*step.tensor.node, "padding", "");
    if (padding == "SAME" || padding == "VALID") {
      window.padding = padding == "SAME" ? Padding::kSame : Padding::kValid;
      return window;
    }
    const std::vector<int64_t> pads = ints_attr(*step.tensor.node, "explicit_paddings");
    if (padding != "EXPLICIT" || pads.size() != 8 || pads[0] != 0 || pads[1] != 0 || pads[6] != 0 || pads[7] != 0) {
      return graph_.unsupported(step.tensor, fmt::format("padding `{}` [{}]; supported: SAME, VALID, EXPLICIT in "
                                                         "height and width",
                                                         padding, fmt::join(pads, ", ")));
    }
    window.top = pads[2];
    window.bottom = pads[3];
    window.left = pads[4];
    window.right = pads[5];
    return window;
  }

  absl::Status conv(const GraphStep& step, const std::string& node) {
    LOCKSTEP_ASSIGN_OR_RETURN(const GraphWindow w, window(step));
    if (find_attr(*step.tensor.node, "dilations") != nullptr) {
      LOCKSTEP_ASSIGN_OR_RETURN(const auto dilations, image_pair(step, "dilations"));
      if (dilations != std::pair(int64_t{1}, int64_t{1})) {
        return graph_.unsupported(step.tensor, "a dilated convolution; supported: dilations of 1");
      }
    }
    LOCKSTEP_ASSIGN_OR_RETURN(ParamTensor kernel, param(step));
    return chain_.conv(node, ImageLayout::kChannelsLast, w, std::move(kernel));
  }

  absl::Status max_pool(const GraphStep& step, const std::string& node) {
    LOCKSTEP_ASSIGN_OR_RETURN(const GraphWindow w, window(step));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto size, image_pair(step, "ksize"));
    return chain_.max_pool(node, ImageLayout::kChannelsLast, size.first, size.second, w);
  }

  absl::Status bias(const GraphStep& step, const std::string& node) {
    if (step.tensor.node->op() == "BiasAdd") LOCKSTEP_RETURN_IF_ERROR(check_layout(step));
    LOCKSTEP_ASSIGN_OR_RETURN(ParamTensor values, param(step));
    return chain_.bias(node, std::move(values));
  }

  absl::Status dense(const GraphStep& step, const std::string& node) {
    if (bool_attr(*step.tensor.node, "transpose_a", false)) {
      return graph_.unsupported(step.tensor, "multiplies transposed examples");
    }
    LOCKSTEP_ASSIGN_OR_RETURN(ParamTensor kernel, param(step));
    if (bool_attr(*step.tensor.node, "transpose_b", false)) {
      constexpr int64_t kSwap[] = {1, 0};
      if (absl::Status status = transpose_param(kSwap, &kernel); !status.ok()) {
        return graph_.error(step.tensor, std::string(status.message()));
      }
    }
    return chain_.dense(node, std::move(kernel));
  }

  absl::Status transpose(const GraphStep& step, const std::string& node) {
    LOCKSTEP_ASSIGN_OR_RETURN(std::vector<int64_t> permutation, integers(step, 1));
    if (permutation.empty() || permutation[0] != 0) {
      return graph_.unsupported(step.tensor, "moves the axis of the examples");
    }
    permutation.erase(permutation.begin());
    for (int64_t& axis : permutation) {
      if (axis < 1 || axis > 8) return graph_.error(step.tensor, "no order of axes");
      --axis;
    }
    return chain_.transpose(node, permutation);
  }

  absl::Status reshape(const GraphStep& step, const std::string& node) {
    std::vector<int64_t> target;
    if (step.tensor.node->op() == "Reshape") {
      LOCKSTEP_ASSIGN_OR_RETURN(target, integers(step, 1));
    } else {
      LOCKSTEP_ASSIGN_OR_RETURN(target, squeezed_or_expanded(step));
    }
    const auto example = example_sizes(target, chain_.sizes());
    if (!example) {
      return graph_.unsupported(step.tensor, fmt::format("reshapes examples of [{}] to {} in a way that mixes them",
                                                         fmt::join(chain_.sizes(), ", "), sizes_text(target)));
    }
    return chain_.reshape(node, *example);
  }

  absl::StatusOr<std::vector<int64_t>> squeezed_or_expanded(const GraphStep& step) {
    std::vector<int64_t> sizes = chain_.sizes();
    sizes.insert(sizes.begin(), kBatchSize);
    const bool squeeze = step.tensor.node->op() == "Squeeze";
    std::vector<int64_t> axes = ints_attr(*step.tensor.node, "squeeze_dims");
    if (!squeeze) {
      LOCKSTEP_ASSIGN_OR_RETURN(axes, integers(step, 1));
    }
    if (axes.size() != 1) {
      return graph_.unsupported(step.tensor, fmt::format("axes [{}]; supported: one", fmt::join(axes, ", ")));
    }
    const auto rank = static_cast<int64_t>(sizes.size()) + (squeeze ? 0 : 1);
    const int64_t axis = axes[0] < 0 ? axes[0] + rank : axes[0];
    if (axis < 1 || axis >= rank || (squeeze && sizes[static_cast<size_t>(axis)] != 1)) {
      return graph_.error(step.tensor, fmt::format("axis {} of {} axes of examples", axes[0], rank - 1));
    }
    if (squeeze) {
      sizes.erase(sizes.begin() + axis);
    } else {
      sizes.insert(sizes.begin() + axis, 1);
    }
    return sizes;
  }

  GraphView& graph_;
  GraphValues& values_;
  LayerChain chain_;
  std::map<TensorRef, std::vector<int64_t>> sizes_;
};

// The sizes of one example that an input's shape gives.
absl::StatusOr<std::vector<int64_t>> example_shape(const GraphView& graph, const TensorRef& input,
                                                   const proto::TensorShapeProto& shape) {
  std::vector<int64_t> sizes;
  for (int i = 1; i < shape.dim_size(); ++i) sizes.push_back(shape.dim(i).size());
  if (!shape.unknown_rank() && !sizes.empty()) return sizes;
  return graph.unsupported(input, "an input of unknown shape: export the model with the shape of its images");
}

// The shape that is written down for the network's input: by the signature, by the placeholder, or (in a training
// graph, which reads from a queue or an iterator) by the first reshape.
absl::StatusOr<std::vector<int64_t>> input_sizes(GraphView& graph, GraphValues& values, const GraphWalk& walk,
                                                 const GraphHead& head) {
  if (const auto info = head.input_shapes.find(walk.input.node); info != head.input_shapes.end()) {
    return example_shape(graph, walk.input, *info->second);
  }
  const proto::AttrValue* shape = find_attr(*walk.input.node, "shape");
  if (shape != nullptr && shape->has_shape() && shape->shape().dim_size() > 1) {
    return example_shape(graph, walk.input, shape->shape());
  }
  if (!walk.steps.empty() && walk.steps[0].tensor.node->op() == "Reshape") {
    LOCKSTEP_ASSIGN_OR_RETURN(const TensorRef target, graph.input(walk.steps[0].tensor, 1));
    LOCKSTEP_ASSIGN_OR_RETURN(std::vector<int64_t> sizes, values.constant_integers(target));
    if (sizes.size() > 1 && sizes[0] == -1) return std::vector<int64_t>(sizes.begin() + 1, sizes.end());
  }
  return graph.unsupported(walk.input, "an input of unknown shape, and no Reshape behind it says what it holds");
}

// Of a frozen graph, which has no variables, the constant in the place of its counter; 0 when there is none.
int64_t frozen_step(const GraphView& graph, GraphValues& values) {
  const auto& nodes = graph.top()->names->nodes;
  const auto node = nodes.find("global_step");
  if (node == nodes.end() || node->second->op() != "Const") return 0;
  const auto step = values.constant_integers({graph.top(), node->second, 0});
  return step.ok() && step->size() == 1 ? std::max<int64_t>(step->front(), 0) : 0;
}

}  // namespace

absl::StatusOr<TrainedModel> import_graph(const proto::MetaGraphDef& meta_graph, const TensorBundleReader* bundle,
                                          const std::string& path) {
  LOCKSTEP_RETURN_IF_ERROR(GraphView::check(meta_graph.graph_def(), path));
  GraphView graph(meta_graph.graph_def(), path);
  LOCKSTEP_ASSIGN_OR_RETURN(const GraphVariables variables,
                            GraphVariables::open(graph, meta_graph.saver_def(), bundle));
  GraphValues values(graph, variables);
  LOCKSTEP_ASSIGN_OR_RETURN(const GraphHead head, find_head(meta_graph, graph, values));
  LOCKSTEP_ASSIGN_OR_RETURN(const GraphWalk walk, walk_graph(graph, values, head.logits, head.inputs));
  if (!head.inputs.empty() && !head.inputs.contains(walk.input.node)) {
    return graph.unsupported(walk.input, "the network starts here, at no input of its signature");
  }
  LOCKSTEP_ASSIGN_OR_RETURN(auto sizes, input_sizes(graph, values, walk, head));
  LayerBuilder builder(graph, values);
  LOCKSTEP_RETURN_IF_ERROR(builder.start(walk.input, std::move(sizes)));
  for (const GraphStep& step : walk.steps) {
    LOCKSTEP_RETURN_IF_ERROR(builder.add(step));
    // Under a signature, which is for prediction, its author forgot to switch it off. (What is fed the caller can.)
    if (step.is_always_on && step.dropout_rate.value_or(0) > 0 && !head.inputs.empty()) {
      builder.chain().note(graph.describe(step.tensor) +
                           ": a dropout that is on when TensorFlow predicts with this model, whose answers are random "
                           "for that reason; Lockstep drops in training only");
    }
  }
  for (const std::string& note : head.notes) builder.chain().note(note);
  LOCKSTEP_ASSIGN_OR_RETURN(TrainedModel model, builder.chain().finish());
  model.global_step = frozen_step(graph, values);
  for (const TensorRef& dropout : walk.idle_dropouts) {
    model.training_warnings.push_back(graph.describe(dropout) +
                                      ": a dropout by its name, whose rate is not in a graph for prediction; to train "
                                      "on with it, add it to model.yaml "
                                      "(`- dropout: {rate: …}`)");
  }
  return model;
}

}  // namespace lockstep
