// SPDX-License-Identifier: Apache-2.0
#include "core/nn/layers/conv_layer.h"

#include "kernels/device_ops.h"

namespace lockstep {
namespace {

FeatureShape output_shape(const Conv2dParams& conv, const std::optional<Pool2dParams>& pool) {
  if (pool) return {pool->OH(), pool->OW(), pool->C};
  return {conv.OH(), conv.OW(), conv.K};
}

GradOutput at_offset(const GradOutput& gradients, int64_t offset) {
  return {gradients.data + offset, gradients.stride};
}

}  // namespace

ConvLayer::ConvLayer(std::string name, const Conv2dParams& conv, const std::optional<Pool2dParams>& pool,
                     int64_t kernel_offset, int64_t bias_offset)
    : Layer(std::move(name), {conv.H, conv.W, conv.C}, output_shape(conv, pool)),
      conv_(conv),
      pool_(pool),
      kernel_offset_(kernel_offset),
      bias_offset_(bias_offset) {}

Conv2dParams ConvLayer::conv_params(int64_t examples) const {
  Conv2dParams params = conv_;
  params.N = examples;
  return params;
}

Pool2dParams ConvLayer::pool_params(int64_t examples) const {
  Pool2dParams params = *pool_;
  params.N = examples;
  return params;
}

double ConvLayer::flops() const { return conv_params(1).flops(); }

int64_t ConvLayer::workspace_bytes(const KernelContext& kernel, const GradSlices& slices) const {
  const auto bytes = kernel.device->ops->conv2d_workspace_bytes;
  if (bytes == nullptr || slices.examples() == 0) return 0;
  const Pool2dParams pool = pool_ ? pool_params(slices.examples()) : Pool2dParams{};
  return bytes(kernel, conv_params(slices.examples()), pool_ ? &pool : nullptr, slices);
}

absl::Status ConvLayer::forward(const PassContext& pass, const ForwardBuffers& b) const {
  const float* w = b.weights + kernel_offset_;
  const float* bias = b.weights + bias_offset_;
  const Conv2dParams conv = conv_params(pass.examples);
  if (!pool_) {
    return b.packed != nullptr ? conv2d_fwd_packed(pass.kernel, conv, b.x, b.packed, bias, b.y)
                               : conv2d_fwd(pass.kernel, conv, b.x, w, bias, b.y);
  }
  const Pool2dParams pool = pool_params(pass.examples);
  return b.packed != nullptr ? conv2d_pool_fwd_packed(pass.kernel, conv, pool, b.x, b.packed, bias, b.y)
                             : conv2d_pool_fwd(pass.kernel, conv, pool, b.x, w, bias, b.y, b.kept);
}

absl::Status ConvLayer::backward(const PassContext& pass, const BackwardBuffers& b) const {
  return pool_ ? backward_fused(pass, b) : backward_plain(pass, b);
}

absl::Status ConvLayer::backward_plain(const PassContext& pass, const BackwardBuffers& b) const {
  const Conv2dParams conv = conv_params(pass.examples);
  const GradOutput grad_w = at_offset(b.gradients, kernel_offset_), grad_b = at_offset(b.gradients, bias_offset_);
  if (b.grad_x == nullptr) {
    return conv2d_bwd_filter(pass.kernel, conv, *pass.slices, b.x, b.y, b.grad_y, grad_w, grad_b);
  }
  return conv2d_bwd(pass.kernel, conv, *pass.slices, b.x, b.weights + kernel_offset_, b.y, b.grad_y, grad_w, grad_b,
                    b.grad_x);
}

absl::Status ConvLayer::backward_fused(const PassContext& pass, const BackwardBuffers& b) const {
  const Conv2dParams conv = conv_params(pass.examples);
  const Pool2dParams pool = pool_params(pass.examples);
  const GradOutput grad_w = at_offset(b.gradients, kernel_offset_), grad_b = at_offset(b.gradients, bias_offset_);
  if (b.grad_x == nullptr) {
    return conv2d_pool_bwd_filter(pass.kernel, conv, pool, *pass.slices, b.x, b.y, b.kept, b.grad_y, grad_w, grad_b);
  }
  return conv2d_pool_bwd(pass.kernel, conv, pool, *pass.slices, b.x, b.weights + kernel_offset_, b.y, b.kept, b.grad_y,
                         grad_w, grad_b, b.grad_x);
}

}  // namespace lockstep
