// SPDX-License-Identifier: Apache-2.0
#include "core/nn/layers/pool_layer.h"

namespace lockstep {

absl::Status PoolLayer::forward(const PassContext& pass, const ForwardBuffers& b) const {
  Pool2dParams params = pool_;
  params.N = pass.examples;
  return pool2d_max_fwd(pass.kernel, params, b.x, b.y, b.kept);
}

absl::Status PoolLayer::backward(const PassContext& pass, const BackwardBuffers& b) const {
  if (b.grad_x == nullptr) return absl::OkStatus();
  Pool2dParams params = pool_;
  params.N = pass.examples;
  return pool2d_max_bwd(pass.kernel, params, b.kept, b.grad_y, b.grad_x);
}

}  // namespace lockstep
