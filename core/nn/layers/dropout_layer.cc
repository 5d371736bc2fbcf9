// SPDX-License-Identifier: Apache-2.0
#include "core/nn/layers/dropout_layer.h"

#include "kernels/dropout/dropout.h"

namespace lockstep {
namespace {

DropoutParams dropout_params(const PassContext& pass, int64_t units, float rate, uint32_t layer) {
  return {.N = pass.examples,
          .units = units,
          .rate = rate,
          .seed = pass.seed,
          .step = pass.step,
          .layer = layer,
          .first_example = pass.first_example};
}

}  // namespace

absl::Status DropoutLayer::forward(const PassContext& pass, const ForwardBuffers& b) const {
  if (!pass.training) return absl::OkStatus();  // in place: y is x
  return dropout_fwd(pass.kernel, dropout_params(pass, input().size(), rate_, index_), b.x, b.y);
}

absl::Status DropoutLayer::backward(const PassContext& pass, const BackwardBuffers& b) const {
  if (b.grad_x == nullptr) return absl::OkStatus();
  return dropout_bwd(pass.kernel, dropout_params(pass, input().size(), rate_, index_), b.grad_y, b.grad_x);
}

}  // namespace lockstep
