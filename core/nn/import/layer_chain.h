// SPDX-License-Identifier: Apache-2.0
// Turns what a foreign graph does to an image, operator by operator, into a network of ours with its weights. Graph
// formats differ in how operators are written down; what they may be, and how they become layers, is here alone.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/nn/import/axis_view.h"
#include "core/nn/import/param_tensor.h"
#include "core/nn/model_config.h"
#include "core/nn/trained_model.h"

namespace lockstep {

// Which axis of an image holds its channels: (H, W, C) as in TensorFlow, or (C, H, W) as in ONNX.
enum class ImageLayout { kChannelsLast, kChannelsFirst };

// A window as graphs describe it. Without `padding` the four pads say how far it reaches over the edges.
struct GraphWindow {
  int64_t stride_h = 1, stride_w = 1;
  std::optional<Padding> padding;
  int64_t top = 0, left = 0, bottom = 0, right = 0;
};

// Operators are added in the order in which the data flows. `node` names the operator in error messages, such as
// "node `conv2d/Conv2D` (Conv2D)". Every shape is checked as it comes; the first error ends the import.
class LayerChain {
 public:
  // `path` names the file. `layout`: how images lie where no convolution tells.
  LayerChain(std::string path, ImageLayout layout) : path_(std::move(path)), layout_(layout) {}

  // First call: the sizes of one example.
  absl::Status input(const std::string& node, std::span<const int64_t> sizes);
  // The sizes of one example at this point.
  std::vector<int64_t> sizes() const { return view_.sizes(); }

  absl::Status conv(const std::string& node, ImageLayout layout, const GraphWindow& window, ParamTensor kernel_hwio);
  // A sum with a constant that broadcasts against one example.
  absl::Status bias(const std::string& node, ParamTensor values);
  absl::Status relu(const std::string& node);
  absl::Status max_pool(const std::string& node, ImageLayout layout, int64_t window_h, int64_t window_w,
                        const GraphWindow& window);
  absl::Status reshape(const std::string& node, std::span<const int64_t> sizes);
  // Axis i of the result is axis permutation[i] of one example.
  absl::Status transpose(const std::string& node, std::span<const int64_t> permutation);
  absl::Status dense(const std::string& node, ParamTensor kernel);  // (inputs, units)
  // The rate is unknown where a graph has it fed: then there is a note and no layer.
  absl::Status dropout(const std::string& node, std::optional<double> rate);

  // Something the user should know about the result.
  void note(std::string text) { notes_.push_back(std::move(text)); }

  // The network: checked as if its YAML had been read, weights in place. The caller fills in global_step.
  absl::StatusOr<TrainedModel> finish();

 private:
  struct Weights {  // of one convolution or dense layer
    std::string node;
    ParamTensor kernel;
    std::optional<ParamTensor> bias;
    int64_t outputs = 0;
  };
  struct Plane {  // what a sliding window sees
    int64_t height = 0, width = 0, channels = 0;
  };

  absl::Status error(const std::string& node, const std::string& problem) const;
  absl::Status unsupported(const std::string& node, const std::string& problem) const;
  // The image that a sliding window gets; the first one is the network's input.
  absl::StatusOr<Plane> image(const std::string& node, ImageLayout layout);
  absl::Status take_input(const std::string& node, const AxisView& height_width_channels);
  absl::Status take_flat_input(const std::string& node);
  struct SquareWindow {
    int size = 0, stride = 0;
    Padding padding = Padding::kValid;
  };
  absl::StatusOr<SquareWindow> square(const std::string& node, const Plane& plane, int64_t window_h, int64_t window_w,
                                      const GraphWindow& window) const;
  absl::Status slide(const std::string& node, const SquareWindow& window, int64_t channels, ImageLayout layout);
  bool* activation_of_last_weights();
  absl::Status copy_weights(TrainedModel* model) const;

  const std::string path_;
  const ImageLayout layout_;
  AxisView view_;                    // of the input, or of the last layer's output in the order height, width, channels
  std::string rearranged_by_;        // the last node that reshaped or transposed
  std::string ends_with_;            // the last node that became a layer or an activation
  std::vector<int64_t> image_axes_;  // of the input as it was last seen with two or three axes
  std::optional<Plane> input_;       // once it is known
  Plane at_;                         // output of the last layer
  std::vector<LayerConfig> layers_;
  std::vector<Weights> weights_;
  std::vector<std::string> notes_;
};

}  // namespace lockstep
