// SPDX-License-Identifier: Apache-2.0
#include "core/nn/import/layer_chain.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "core/nn/import/limits.h"
#include "core/nn/network.h"
#include "io/tensor_bundle.h"

namespace lockstep {
namespace {

// Far above what a network may have (model_config.cc), far below what overflows.
constexpr int64_t kMaxSide = int64_t{1} << 20;

int64_t product(std::span<const int64_t> sizes) {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  return count;
}

// What a TensorFlow padding or explicit pads mean for one axis, as far as windows reach.
bool same_window(const WindowDim& ours, int64_t in, int64_t window, int64_t stride, int64_t before, int64_t after) {
  return ours.pad_before == before && (in + before + after - window) / stride + 1 == ours.out;
}

}  // namespace

absl::Status LayerChain::error(const std::string& node, const std::string& problem) const {
  return absl::InvalidArgumentError(fmt::format("{}: {}: {}", path_, node, problem));
}

absl::Status LayerChain::unsupported(const std::string& node, const std::string& problem) const {
  return absl::UnimplementedError(fmt::format("{}: {}: {}", path_, node, problem));
}

absl::Status LayerChain::input(const std::string& node, std::span<const int64_t> sizes) {
  int64_t count = 1;
  for (const int64_t size : sizes) {
    if (size < 1 || size > kMaxSide || (count *= size) > kMaxSide * kMaxSide) {
      return error(node, fmt::format("examples of shape {}: every size must be known, from 1 to {}", shape_text(sizes),
                                     kMaxSide));
    }
  }
  if (sizes.empty() || sizes.size() > 3) {
    return error(node,
                 fmt::format("examples of shape {}: expected an image or a list of its pixels", shape_text(sizes)));
  }
  view_ = AxisView(sizes);
  if (sizes.size() > 1) image_axes_.assign(sizes.begin(), sizes.end());
  return absl::OkStatus();
}

// --- Images ---

absl::Status LayerChain::take_input(const std::string& node, const AxisView& height_width_channels) {
  const std::vector<int64_t> sizes = height_width_channels.sizes();
  input_ = at_ = Plane{sizes[0], sizes[1], sizes[2]};
  if (height_width_channels.is_contiguous()) return absl::OkStatus();
  AxisView channels_first = height_width_channels;
  constexpr int kChannelsToFront[] = {2, 0, 1};
  channels_first.transpose(kChannelsToFront);
  if (!channels_first.is_contiguous()) return unsupported(node, "the pixels of the input come in another order");
  note(fmt::format("the file's input has its channels first; here an image is height, width, channels ({}x{}x{})",
                   sizes[0], sizes[1], sizes[2]));
  return absl::OkStatus();
}

// A network that begins with a dense layer: the shape of its images does not matter to it, but to whoever trains on
// them. It is what the graph had before it flattened them.
absl::Status LayerChain::take_flat_input(const std::string& node) {
  const bool contiguous = view_.is_contiguous();
  std::vector<int64_t> axes = image_axes_;
  if (axes.size() == 2) axes.insert(layout_ == ImageLayout::kChannelsLast ? axes.end() : axes.begin(), 1);
  if (axes.empty()) {
    axes = {1, view_.elements(), 1};
    note(fmt::format(
        "the graph does not tell height and width of its images of {} numbers, which training needs: give a "
        "description with --model",
        view_.elements()));
  }
  const bool channels_first = layout_ == ImageLayout::kChannelsFirst && !image_axes_.empty();
  if (channels_first) std::rotate(axes.begin(), axes.begin() + 1, axes.end());
  input_ = at_ = Plane{axes[0], axes[1], axes[2]};
  if (!channels_first || axes[2] == 1) return absl::OkStatus();
  // The pixels lie as (C, H, W): our rows are in another order.
  if (!contiguous) return unsupported(node, "the pixels of the input come in another order");
  view_ = AxisView(axes);
  constexpr int kChannelsToFront[] = {2, 0, 1};
  view_.transpose(kChannelsToFront);
  const int64_t flat[] = {product(axes)};
  view_.reshape(flat);
  note("the file's input has its channels first; here an image is height, width, channels");
  return absl::OkStatus();
}

absl::StatusOr<LayerChain::Plane> LayerChain::image(const std::string& node, ImageLayout layout) {
  if (view_.rank() != 3) {
    return error(node, fmt::format("needs images, got examples of shape {}", shape_text(sizes())));
  }
  AxisView hwc = view_;
  constexpr int kChannelsToBack[] = {1, 2, 0};
  if (layout == ImageLayout::kChannelsFirst) hwc.transpose(kChannelsToBack);
  if (!input_) {
    LOCKSTEP_RETURN_IF_ERROR(take_input(node, hwc));
    return at_;
  }
  const std::vector<int64_t> sizes = hwc.sizes();
  if (!hwc.is_contiguous() || sizes != std::vector<int64_t>{at_.height, at_.width, at_.channels}) {
    return unsupported(node, fmt::format("gets images of shape {} (height, width, channels) made by rearranging the "
                                         "{}x{}x{} of the layer before",
                                         shape_text(sizes), at_.height, at_.width, at_.channels));
  }
  return at_;
}

absl::StatusOr<LayerChain::SquareWindow> LayerChain::square(const std::string& node, const Plane& plane,
                                                            int64_t window_h, int64_t window_w,
                                                            const GraphWindow& w) const {
  if (window_h != window_w || w.stride_h != w.stride_w) {
    return unsupported(node, fmt::format("a window of {}x{} with strides {}x{}; supported: square ones", window_h,
                                         window_w, w.stride_h, w.stride_w));
  }
  for (const int64_t size : {window_h, w.stride_h, plane.height, plane.width}) {
    if (size < 1 || size > kMaxSide) {
      return error(node, fmt::format("a window of {}, stride {}, over {}x{}: expected numbers from 1 to {}", window_h,
                                     w.stride_h, plane.height, plane.width, kMaxSide));
    }
  }
  SquareWindow square{static_cast<int>(window_h), static_cast<int>(w.stride_h), Padding::kValid};
  if (w.padding) {
    square.padding = *w.padding;
    return square;
  }
  const int64_t pads[] = {w.top, w.left, w.bottom, w.right};
  if (std::all_of(std::begin(pads), std::end(pads), [](int64_t pad) { return pad >= 0 && pad <= kMaxSide; })) {
    for (const Padding padding : {Padding::kValid, Padding::kSame}) {
      square.padding = padding;
      const auto dim = [&](int64_t in) {
        return window_dim(static_cast<int>(in), square.size, square.stride, padding);
      };
      if (same_window(dim(plane.height), plane.height, window_h, w.stride_h, w.top, w.bottom) &&
          same_window(dim(plane.width), plane.width, window_w, w.stride_w, w.left, w.right)) {
        return square;
      }
    }
  }
  return unsupported(
      node, fmt::format("pads of {}, {}, {}, {} (top, left, bottom, right) for a {}x{} window with "
                        "stride {} over {}x{}; supported: none, or those of TensorFlow's SAME",
                        w.top, w.left, w.bottom, w.right, window_h, window_w, w.stride_h, plane.height, plane.width));
}

absl::Status LayerChain::slide(const std::string& node, const SquareWindow& window, int64_t channels,
                               ImageLayout layout) {
  const auto out = [&](int64_t in) {
    return window_dim(static_cast<int>(in), window.size, window.stride, window.padding).out;
  };
  const bool fits = window.padding == Padding::kSame || (window.size <= at_.height && window.size <= at_.width);
  if (!fits) {
    return error(node,
                 fmt::format("a window of {0}x{0} does not fit into {1}x{2}", window.size, at_.height, at_.width));
  }
  at_ = {out(at_.height), out(at_.width), channels};
  const int64_t sizes[] = {at_.height, at_.width, at_.channels};
  view_ = AxisView(sizes);
  constexpr int kChannelsToFront[] = {2, 0, 1};
  if (layout == ImageLayout::kChannelsFirst) view_.transpose(kChannelsToFront);
  return absl::OkStatus();
}

absl::Status LayerChain::conv(const std::string& node, ImageLayout layout, const GraphWindow& w, ParamTensor kernel) {
  LOCKSTEP_ASSIGN_OR_RETURN(const Plane plane, image(node, layout));
  const std::vector<int64_t>& shape = kernel.shape;
  if (shape.size() != 4 || kernel.values.empty() || shape[2] != plane.channels || shape[3] > kMaxSide) {
    return error(node, fmt::format("a kernel `{}` of shape {} (height, width, inputs, outputs) does not fit an image "
                                   "of {} channels",
                                   kernel.source, shape_text(shape), plane.channels));
  }
  const int64_t filters = shape[3];
  LOCKSTEP_ASSIGN_OR_RETURN(const SquareWindow square_window, square(node, plane, shape[0], shape[1], w));
  LOCKSTEP_RETURN_IF_ERROR(slide(node, square_window, filters, layout));
  layers_.push_back({.kind = ConvConfig{.filters = static_cast<int>(filters),
                                        .kernel = square_window.size,
                                        .stride = square_window.stride,
                                        .padding = square_window.padding,
                                        .relu = false}});
  weights_.push_back({node, std::move(kernel), std::nullopt, filters});
  ends_with_ = node;
  return absl::OkStatus();
}

absl::Status LayerChain::max_pool(const std::string& node, ImageLayout layout, int64_t window_h, int64_t window_w,
                                  const GraphWindow& w) {
  LOCKSTEP_ASSIGN_OR_RETURN(const Plane plane, image(node, layout));
  LOCKSTEP_ASSIGN_OR_RETURN(const SquareWindow square_window, square(node, plane, window_h, window_w, w));
  LOCKSTEP_RETURN_IF_ERROR(slide(node, square_window, plane.channels, layout));
  layers_.push_back(
      {.kind = MaxPoolConfig{
           .window = square_window.size, .stride = square_window.stride, .padding = square_window.padding}});
  ends_with_ = node;
  return absl::OkStatus();
}

// --- Point by point ---

absl::Status LayerChain::bias(const std::string& node, ParamTensor values) {
  const bool follows_weights = !layers_.empty() && !weights_.empty() && !weights_.back().bias &&
                               activation_of_last_weights() != nullptr && !*activation_of_last_weights() &&
                               !std::holds_alternative<MaxPoolConfig>(layers_.back().kind) &&
                               !std::holds_alternative<DropoutConfig>(layers_.back().kind);
  if (!follows_weights) {
    return unsupported(node, fmt::format("adds `{}`, but not right behind a convolution or a dense layer without a "
                                         "bias",
                                         values.source));
  }
  const int64_t outputs = weights_.back().outputs;
  const auto count = static_cast<int64_t>(values.values.size());
  const int axes = static_cast<int>(values.shape.size()), rank = view_.rank();
  bool fits = count == outputs || count == 1;
  for (int i = 0; i < axes && fits; ++i) {
    const int axis = rank - axes + i;  // shapes broadcast from the right
    const int64_t size = values.shape[static_cast<size_t>(i)];
    fits = size == 1 || (axis >= 0 && view_.is_run(axis, size));
  }
  if (!fits) {
    return unsupported(node, fmt::format("adds `{}` of shape {} to examples of shape {}; supported: one number for "
                                         "each of the {} outputs",
                                         values.source, shape_text(values.shape), shape_text(sizes()), outputs));
  }
  if (count == 1) values.values.resize(static_cast<size_t>(outputs), values.values[0]);
  weights_.back().bias = std::move(values);
  return absl::OkStatus();
}

// Of the last layer with weights. ReLU commutes exactly with what may lie between: the largest of numbers is the same
// before and after it, and zeros stay zeros. Null when there is none.
bool* LayerChain::activation_of_last_weights() {
  for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) {
    if (auto* conv = std::get_if<ConvConfig>(&layer->kind)) return &conv->relu;
    if (auto* dense = std::get_if<DenseConfig>(&layer->kind)) return &dense->relu;
  }
  return nullptr;
}

absl::Status LayerChain::relu(const std::string& node) {
  bool* const activation = activation_of_last_weights();
  if (activation == nullptr) return unsupported(node, "acts on the input, before any layer");
  *activation = true;
  ends_with_ = node;
  return absl::OkStatus();
}

absl::Status LayerChain::dropout(const std::string& node, std::optional<double> rate) {
  if (!rate) {
    note(fmt::format("{}: a dropout whose rate is fed; it is left out", node));
    return absl::OkStatus();
  }
  if (!(*rate >= 0 && *rate < 1)) return error(node, fmt::format("a dropout rate of {}", *rate));
  if (*rate > 0) {
    layers_.push_back({.kind = DropoutConfig{*rate}});
    ends_with_ = node;
  }
  return absl::OkStatus();
}

// --- Rearranging ---

absl::Status LayerChain::reshape(const std::string& node, std::span<const int64_t> sizes) {
  const std::vector<int64_t> before = this->sizes();
  if (sizes.size() > kMaxImportRank || !view_.reshape(sizes)) {
    return error(node, fmt::format("examples of shape {} cannot become {}", shape_text(before), shape_text(sizes)));
  }
  rearranged_by_ = node;
  const bool image = sizes.size() == 2 || sizes.size() == 3;
  if (layers_.empty() && image && view_.is_contiguous()) image_axes_.assign(sizes.begin(), sizes.end());
  return absl::OkStatus();
}

absl::Status LayerChain::transpose(const std::string& node, std::span<const int64_t> permutation) {
  std::vector<int> axes(permutation.begin(), permutation.end());
  std::vector<int> sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  bool whole = static_cast<int>(axes.size()) == view_.rank();
  for (size_t i = 0; i < sorted.size() && whole; ++i) whole = sorted[i] == static_cast<int>(i);
  if (!whole) {
    return error(node, fmt::format("the order [{}] is none of {} axes", fmt::join(permutation, ", "), view_.rank()));
  }
  view_.transpose(axes);
  rearranged_by_ = node;
  return absl::OkStatus();
}

absl::Status LayerChain::dense(const std::string& node, ParamTensor kernel) {
  const std::vector<int64_t>& shape = kernel.shape;
  if (view_.rank() != 1) {
    return unsupported(node,
                       fmt::format("multiplies examples of shape {}; supported: flattened ones", shape_text(sizes())));
  }
  if (shape.size() != 2 || kernel.values.empty() || shape[0] != view_.elements() || shape[1] > kMaxSide) {
    return error(node, fmt::format("a kernel `{}` of shape {} (inputs, units) does not fit {} inputs", kernel.source,
                                   shape_text(shape), view_.elements()));
  }
  if (!input_) LOCKSTEP_RETURN_IF_ERROR(take_flat_input(node));
  const int64_t units = shape[1];
  if (!view_.is_contiguous()) {
    std::vector<float> rows(kernel.values.size());
    const float* from = kernel.values.data();
    for (const int64_t row : view_.order()) {
      std::copy(from, from + units, rows.data() + row * units);
      from += units;
    }
    kernel.values = std::move(rows);
  }
  layers_.push_back({.kind = DenseConfig{.units = static_cast<int>(units), .relu = false}});
  weights_.push_back({node, std::move(kernel), std::nullopt, units});
  ends_with_ = node;
  at_ = {1, 1, units};
  view_ = AxisView({&units, 1});
  return absl::OkStatus();
}

// --- The result ---

absl::Status LayerChain::copy_weights(TrainedModel* model) const {
  LOCKSTEP_ASSIGN_OR_RETURN(const Network network, Network::build(model->config));
  const std::vector<Param>& params = network.params().params();  // kernel and bias of each layer, in order
  model->weights = AlignedBuffer<float>(static_cast<size_t>(network.params().buffer_size()));
  for (size_t i = 0; i < weights_.size(); ++i) {
    const Weights& from = weights_[i];
    std::copy(from.kernel.values.begin(), from.kernel.values.end(), model->weights.data() + params[2 * i].offset);
    model->sources.push_back(from.kernel.source);
    model->sources.push_back(from.bias ? from.bias->source : "");
    if (!from.bias) {
      model->warnings.push_back(fmt::format("{} has no bias; {} is zero", from.node, params[2 * i + 1].name));
      continue;
    }
    std::copy(from.bias->values.begin(), from.bias->values.end(), model->weights.data() + params[2 * i + 1].offset);
  }
  return absl::OkStatus();
}

absl::StatusOr<TrainedModel> LayerChain::finish() {
  const DenseConfig* const last = layers_.empty() ? nullptr : std::get_if<DenseConfig>(&layers_.back().kind);
  if (last == nullptr) {
    return absl::UnimplementedError(
        fmt::format("{}: {}the network does not end in a dense layer; supported: convolutions, max-pools and dense "
                    "layers, the last of which gives one number a class",
                    path_, ends_with_.empty() ? "" : fmt::format("behind {}: ", ends_with_)));
  }
  if (last->relu) {
    return unsupported(ends_with_,
                       "acts on the outputs of the last dense layer; supported: none there, the classes' "
                       "numbers go into softmax as they are");
  }
  if (view_.rank() != 1 || !view_.is_contiguous()) {
    return unsupported(rearranged_by_,
                       fmt::format("makes examples of shape {} of the {} outputs of the last dense layer; "
                                   "supported: one number a class, in their order",
                                   shape_text(sizes()), weights_.back().outputs));
  }
  TrainedModel model;
  model.origin = path_;
  model.config = {.path = path_,
                  .height = static_cast<int>(input_->height),
                  .width = static_cast<int>(input_->width),
                  .depth = static_cast<int>(input_->channels),
                  .classes = static_cast<int>(weights_.back().outputs),
                  .layers = layers_};
  // What cannot be described cannot be kept either: the limits of a description hold here too.
  LOCKSTEP_RETURN_IF_ERROR(annotate(parse_model_config(to_yaml(model.config), "the network found").status(), path_));
  model.warnings = notes_;
  LOCKSTEP_RETURN_IF_ERROR(copy_weights(&model));
  return model;
}

}  // namespace lockstep
