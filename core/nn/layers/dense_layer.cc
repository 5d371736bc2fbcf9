// SPDX-License-Identifier: Apache-2.0
#include "core/nn/layers/dense_layer.h"

#include <algorithm>

#include "kernels/device_ops.h"

namespace lockstep {

int64_t DenseLayer::workspace_bytes(const KernelContext& kernel, const GradSlices& slices) const {
  const auto bytes = kernel.device->ops->dense_workspace_bytes;
  return bytes == nullptr || slices.examples() == 0 ? 0 : bytes(kernel, params(slices.examples()), slices);
}

absl::Status DenseLayer::forward(const PassContext& pass, const ForwardBuffers& b) const {
  const float* bias = b.weights + bias_offset_;
  if (b.packed != nullptr) return dense_fwd_packed(pass.kernel, params(pass.examples), b.x, b.packed, bias, b.y);
  return dense_fwd(pass.kernel, params(pass.examples), b.x, b.weights + kernel_offset_, bias, b.y);
}

absl::Status DenseLayer::backward(const PassContext& pass, const BackwardBuffers& b) const {
  const DenseParams dense = params(pass.examples);
  float* const grad_w = b.gradients.data + kernel_offset_;
  if (b.give_operands) {
    LOCKSTEP_RETURN_IF_ERROR(dense_operands(pass.kernel, dense, b.x, b.y, b.grad_y, grad_w));
  } else {
    LOCKSTEP_RETURN_IF_ERROR(dense_bwd_filter(pass.kernel, dense, *pass.slices, b.x, b.y, b.grad_y,
                                              {grad_w, b.gradients.stride},
                                              {b.gradients.data + bias_offset_, b.gradients.stride}));
  }
  if (b.grad_x == nullptr) return absl::OkStatus();
  return dense_bwd_data(pass.kernel, dense, b.weights + kernel_offset_, b.y, b.grad_y, b.grad_x);
}

absl::Status DenseLayer::update(const PassContext& pass, const UpdateBuffers& b) const {
  const DenseParams dense = params(pass.examples);
  std::vector<DenseOperands> parts;
  for (const LayerOperands& part : b.operands) parts.push_back({part.examples, part.data});
  const auto range = [&](int64_t offset, int64_t size) {
    return AdamRange{.begin = std::clamp(b.begin - offset, int64_t{0}, size),
                     .end = std::clamp(b.end - offset, int64_t{0}, size),
                     .m = b.m + offset,
                     .v = b.v + offset,
                     .w = b.weights + offset};
  };
  return dense_update(pass.kernel, dense, *pass.slices, parts, b.adam,
                      range(kernel_offset_, int64_t{dense.I} * dense.O), range(bias_offset_, dense.O));
}

}  // namespace lockstep
