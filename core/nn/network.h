// SPDX-License-Identifier: Apache-2.0
// The layers of a network with their shapes inferred, and the table of its parameters. Immutable; no data.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/nn/layer.h"
#include "core/nn/model_config.h"
#include "core/nn/param_table.h"

namespace lockstep {

class Network {
 public:
  // Names layers as TensorFlow does (conv2d, conv2d_1, …, dense, dense_1); flattening before a dense layer is implicit.
  // An error names the layer, the shape it got and the shape it needs, and its line in the file.
  static absl::StatusOr<Network> build(const ModelConfig& config);

  const std::vector<std::unique_ptr<Layer>>& layers() const { return layers_; }
  int layer_count() const { return static_cast<int>(layers_.size()); }
  const ParamTable& params() const { return params_; }
  FeatureShape input() const { return input_; }
  int classes() const { return classes_; }
  // The first layer with parameters: no layer at or before it needs an input gradient.
  int first_trained_layer() const { return first_trained_layer_; }

  // Floating-point operations of one training step per example, counted as direct convolution: forward, filter
  // gradient, and input gradient where it is needed.
  double train_flops() const;

 private:
  friend class NetworkBuilder;

  std::vector<std::unique_ptr<Layer>> layers_;
  ParamTable params_;
  FeatureShape input_;
  int classes_ = 0;
  int first_trained_layer_ = 0;
};

}  // namespace lockstep
