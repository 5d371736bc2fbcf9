// SPDX-License-Identifier: Apache-2.0
// The operators of conv2d.h on a GPU. A max-pool of quads (2 x 2, stride 2) is part of the convolution's kernels; any
// other is run on a full-size activation, or gradient, in the workspace.
#include "kernels/conv2d/conv2d_launch.cuh"
#include "kernels/device_ops.h"

namespace lockstep::cuda {
namespace {

// Multiples of 256 bytes, so that what lies behind stays aligned.
int64_t padded(int64_t bytes) { return (bytes + 255) / 256 * 256; }

int64_t full_bytes(const Conv2dParams& p) { return padded(p.N * p.OH() * p.OW() * p.K * int64_t{sizeof(float)}); }

// Packed filters of the sum, whatever arithmetic is chosen.
int64_t packed_bytes(const ConvShape& s) {
  int64_t words = 0;
  for (const ConvMath math : {ConvMath::kFloat, ConvMath::kTf32, ConvMath::kBf16}) {
    words = std::max(words, plan_patch(s, math).packed_words);
  }
  return padded(words * int64_t{sizeof(uint32_t)});
}

absl::Status check_workspace(const KernelContext& ctx, int64_t bytes) {
  if (static_cast<int64_t>(ctx.device->workspace_bytes) >= bytes) return absl::OkStatus();
  return absl::InternalError("conv2d: the workspace is smaller than conv2d_workspace_bytes() says");
}

// The same context with the workspace that is left behind `bytes`.
DeviceContext behind(const DeviceContext& device, int64_t bytes) {
  DeviceContext rest = device;
  rest.workspace = static_cast<char*>(device.workspace) + bytes;
  rest.workspace_bytes -= static_cast<size_t>(bytes);
  return rest;
}

absl::Status forward(const DeviceContext& device, const Conv2dParams& p, const float* x, const float* w, const float* b,
                     float* y) {
  const ConvShape s = forward_shape(p);
  Outputs out;
  out.bias = b;
  out.relu = p.relu;
  out.y = y;
  set_alignment(out, s.K);
  const ConvMath math = math_for(device, s.C);
  switch (conv_kernel(s)) {
    case ConvKernel::kDirect:
      return direct_conv(device, s, p.N, x, w, out);
    case ConvKernel::kOneChannel:
      return one_channel_conv<false>(device, s, p.N, x, w, out);
    case ConvKernel::kPatch:
      break;
  }
  const FilterView view{w, p.R * p.S, p.C, p.K, p.K, 1, /*backwards=*/false};
  return patch_conv<false, DenseSource>(device, math, view,
                                        {s, {}, p.N, dense_source(x, nullptr, p.H, p.W, p.C), nullptr, out});
}

DenseSource grad_source(const Conv2dParams& p, const float* y, const float* grad_y) {
  return dense_source(grad_y, p.relu ? y : nullptr, p.OH(), p.OW(), p.K);
}

UnpooledSource unpooled_source(const Conv2dParams& p, const Pool2dParams& pool, const float* y, const uint8_t* argmax,
                               const float* grad_y) {
  const bool vector = p.K % 4 == 0 && is_aligned<16>(grad_y) && is_aligned<16>(y) && is_aligned<4>(argmax);
  return {grad_y, p.relu ? y : nullptr, argmax, p.OH(), p.OW(), p.K, pool.OH(), pool.OW(), vector};
}

// The gradient in front of a pool of any kind, into `full` (N, OH, OW, K).
absl::Status unpool(const DeviceContext& device, const Conv2dParams& p, const Pool2dParams& pool, const float* y,
                    const uint8_t* argmax, const float* grad_y, float* full) {
  const PoolShape shape{pool.H,
                        pool.W,
                        pool.C,
                        pool.OH(),
                        pool.OW(),
                        pool.window,
                        pool.stride,
                        pool.dim_h().pad_before,
                        pool.dim_w().pad_before};
  const LaunchDims dims{blocks(ceil_div(p.N * pool.H * pool.W * pool.C, kDirectThreads)), threads(kDirectThreads)};
  return launch(conv2d_unpool_kernel, dims, device.stream, shape, p.N, grad_y, p.relu ? y : nullptr, argmax, full);
}

int64_t fwd_bytes(const Conv2dParams& p) { return packed_bytes(forward_shape(p)); }
int64_t bwd_data_bytes(const Conv2dParams& p) { return p.stride == 1 ? packed_bytes(backward_shape(p)) : 0; }
int64_t bwd_filter_bytes(const Conv2dParams& p, const GradSlices& slices) {
  const GradTargets to{p.filter_size(), p.K, {}, {}};
  const int slots = slot_count(slices, chunk_target_of(forward_shape(p)));
  return padded(int64_t{slices.slices()} * slots * to.stride() * int64_t{sizeof(float)});
}
// With the pool behind it, which may need the activation, or its gradient, in full.
int64_t pool_fwd_bytes(const Conv2dParams& p, const Pool2dParams& pool) {
  const bool fused = pools_quads(pool) && conv_kernel(forward_shape(p)) != ConvKernel::kDirect;
  return fwd_bytes(p) + (fused ? 0 : full_bytes(p));
}
int64_t unpooled_bytes(const Conv2dParams& p, const Pool2dParams& pool) {
  return pools_quads(pool) ? 0 : full_bytes(p);
}

}  // namespace

int64_t conv2d_workspace_bytes(const KernelContext&, const Conv2dParams& p, const Pool2dParams* pool,
                               const GradSlices& slices) {
  const int64_t bwd = std::max(bwd_data_bytes(p), bwd_filter_bytes(p, slices));
  if (pool == nullptr) return std::max(fwd_bytes(p), bwd);
  return std::max(pool_fwd_bytes(p, *pool), unpooled_bytes(p, *pool) + bwd);
}

absl::Status conv2d_fwd(const KernelContext& ctx, const Conv2dParams& p, const float* x, const float* w, const float* b,
                        float* y) {
  LOCKSTEP_RETURN_IF_ERROR(check_workspace(ctx, fwd_bytes(p)));
  return forward(*ctx.device, p, x, w, b, y);
}

absl::Status conv2d_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const float* w, const float* y,
                             const float* grad_y, float* grad_x) {
  LOCKSTEP_RETURN_IF_ERROR(check_workspace(ctx, bwd_data_bytes(p)));
  return bwd_data(*ctx.device, p, w, grad_source(p, y, grad_y), grad_x);
}

absl::Status conv2d_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const GradSlices& slices,
                               const float* x, const float* y, const float* grad_y, GradOutput grad_w,
                               GradOutput grad_b) {
  LOCKSTEP_RETURN_IF_ERROR(check_workspace(ctx, bwd_filter_bytes(p, slices)));
  auto* const partials = static_cast<float*>(ctx.device->workspace);
  return bwd_filter(*ctx.device, p, slices, x, grad_source(p, y, grad_y), grad_w, grad_b, partials);
}

absl::Status conv2d_pool_fwd(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool, const float* x,
                             const float* w, const float* b, float* y, uint8_t* argmax) {
  LOCKSTEP_RETURN_IF_ERROR(check_workspace(ctx, pool_fwd_bytes(p, pool)));
  const DeviceContext& device = *ctx.device;
  const ConvShape s = forward_shape(p);
  const ConvMath math = math_for(device, s.C);
  const ConvKernel kernel = conv_kernel(s);
  if (!pools_quads(pool) || kernel == ConvKernel::kDirect) {
    auto* const full = static_cast<float*>(device.workspace);
    LOCKSTEP_RETURN_IF_ERROR(forward(behind(device, full_bytes(p)), p, x, w, b, full));
    return device.ops->pool2d_max_fwd(ctx, pool, full, y, argmax);
  }
  Outputs out{b, p.relu, y, argmax, pool.OH(), pool.OW()};
  set_alignment(out, s.K);
  if (kernel == ConvKernel::kOneChannel) return one_channel_conv<true>(device, s, p.N, x, w, out);
  const FilterView view{w, p.R * p.S, p.C, p.K, p.K, 1, /*backwards=*/false};
  return patch_conv<true, DenseSource>(device, math, view,
                                       {s, {}, p.N, dense_source(x, nullptr, p.H, p.W, p.C), nullptr, out});
}

absl::Status conv2d_pool_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                  const float* w, const float* y, const uint8_t* argmax, const float* grad_y,
                                  float* grad_x) {
  LOCKSTEP_RETURN_IF_ERROR(check_workspace(ctx, unpooled_bytes(p, pool) + bwd_data_bytes(p)));
  const DeviceContext& device = *ctx.device;
  if (pools_quads(pool)) return bwd_data(device, p, w, unpooled_source(p, pool, y, argmax, grad_y), grad_x);
  auto* const full = static_cast<float*>(device.workspace);
  LOCKSTEP_RETURN_IF_ERROR(unpool(device, p, pool, y, argmax, grad_y, full));
  return bwd_data(behind(device, full_bytes(p)), p, w, dense_source(full, nullptr, p.OH(), p.OW(), p.K), grad_x);
}

absl::Status conv2d_pool_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                    const GradSlices& slices, const float* x, const float* y, const uint8_t* argmax,
                                    const float* grad_y, GradOutput grad_w, GradOutput grad_b) {
  LOCKSTEP_RETURN_IF_ERROR(check_workspace(ctx, unpooled_bytes(p, pool) + bwd_filter_bytes(p, slices)));
  const DeviceContext& device = *ctx.device;
  auto* const scratch = static_cast<float*>(device.workspace);
  if (pools_quads(pool)) {
    const UnpooledSource grad = unpooled_source(p, pool, y, argmax, grad_y);
    return bwd_filter(device, p, slices, x, grad, grad_w, grad_b, scratch);
  }
  LOCKSTEP_RETURN_IF_ERROR(unpool(device, p, pool, y, argmax, grad_y, scratch));
  const DenseSource grad = dense_source(scratch, nullptr, p.OH(), p.OW(), p.K);
  return bwd_filter(device, p, slices, x, grad, grad_w, grad_b, scratch + full_bytes(p) / int64_t{sizeof(float)});
}

}  // namespace lockstep::cuda
