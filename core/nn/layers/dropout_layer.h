// SPDX-License-Identifier: Apache-2.0
// Inverted dropout, in place. Safe behind a ReLU layer, whose backward masks where its (now dropped) output is <= 0:
// a dropped unit's gradient is zero either way, and a kept one keeps its sign.
#pragma once

#include "core/nn/layer.h"

namespace lockstep {

class DropoutLayer : public Layer {
 public:
  // `index`: which dropout of the network this is; part of its random stream.
  DropoutLayer(std::string name, FeatureShape shape, float rate, uint32_t index)
      : Layer(std::move(name), shape, shape), rate_(rate), index_(index) {}

  bool in_place() const override { return true; }
  int forward_group(const KernelContext&) const override { return 1; }
  absl::Status forward(const PassContext& pass, const ForwardBuffers& buffers) const override;
  absl::Status backward(const PassContext& pass, const BackwardBuffers& buffers) const override;

 private:
  float rate_;
  uint32_t index_;
};

}  // namespace lockstep
