// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv2d/conv2d.h"

#include <fmt/format.h>

#include "kernels/arguments.h"
#include "kernels/device_ops.h"

namespace lockstep {
namespace {

absl::Status check(const Conv2dParams& p) {
  LOCKSTEP_RETURN_IF_ERROR(check_not_negative("conv2d", {{"N", p.N}}));
  LOCKSTEP_RETURN_IF_ERROR(check_positive(
      "conv2d", {{"H", p.H}, {"W", p.W}, {"C", p.C}, {"K", p.K}, {"R", p.R}, {"S", p.S}, {"stride", p.stride}}));
  if (p.OH() < 1 || p.OW() < 1) {
    return absl::InvalidArgumentError(
        fmt::format("conv2d: a VALID filter of {} x {} does not fit into {} x {}", p.R, p.S, p.H, p.W));
  }
  LOCKSTEP_RETURN_IF_ERROR(check_addressable("conv2d", "the input", {p.N, p.H, p.W, p.C}));
  LOCKSTEP_RETURN_IF_ERROR(check_addressable("conv2d", "the filter", {p.R, p.S, p.C, p.K}));
  return check_addressable("conv2d", "the output", {p.N, p.OH(), p.OW(), p.K});
}

absl::Status check(const Conv2dParams& p, const Pool2dParams& pool) {
  LOCKSTEP_RETURN_IF_ERROR(check(p));
  if (pool.N != p.N || pool.H != p.OH() || pool.W != p.OW() || pool.C != p.K) {
    return absl::InvalidArgumentError(
        fmt::format("conv2d_pool: the pool's input must be the convolution's output ({}, {}, {}, {}), got ({}, {}, {}, "
                    "{})",
                    p.N, p.OH(), p.OW(), p.K, pool.N, pool.H, pool.W, pool.C));
  }
  LOCKSTEP_RETURN_IF_ERROR(check_positive("conv2d_pool", {{"window", pool.window}, {"pool stride", pool.stride}}));
  if (pool.window > 16 || pool.OH() < 1 || pool.OW() < 1) {
    return absl::InvalidArgumentError(fmt::format(
        "conv2d_pool: the pool's window must be at most 16 and fit into {} x {}, got {}", pool.H, pool.W, pool.window));
  }
  return absl::OkStatus();
}

absl::Status check_gradients(const Conv2dParams& p, const GradSlices& slices, const GradOutput& grad_w,
                             const GradOutput& grad_b) {
  LOCKSTEP_RETURN_IF_ERROR(check_slices("conv2d", slices, p.N));
  LOCKSTEP_RETURN_IF_ERROR(check_grad_output("conv2d", "grad_w", grad_w, p.filter_size(), slices));
  return check_grad_output("conv2d", "grad_b", grad_b, p.K, slices);
}

bool use_ref(const KernelContext& ctx) { return ctx.backend == Backend::kRef; }

// An empty batch still has gradients, zeros, and the plain loops write them: fast versions see at least one example.
bool use_ref(const KernelContext& ctx, const Conv2dParams& p) { return use_ref(ctx) || p.N == 0; }

}  // namespace

absl::Status conv2d_fwd(const KernelContext& ctx, const Conv2dParams& p, const float* x, const float* w, const float* b,
                        float* y) {
  LOCKSTEP_RETURN_IF_ERROR(check(p));
  if (p.N == 0) return absl::OkStatus();
  if (is_device(ctx.backend)) return ctx.device->ops->conv2d_fwd(ctx, p, x, w, b, y);
  return use_ref(ctx) ? ref::conv2d_fwd(ctx, p, x, w, b, y) : simd::conv2d_fwd(ctx, p, x, w, b, y);
}

int64_t conv2d_packed_floats(const KernelContext& ctx, const Conv2dParams& p) {
  return is_device(ctx.backend) || use_ref(ctx) ? 0 : simd::conv2d_packed_floats(p);
}

int conv2d_packed_group(const KernelContext& ctx, const Conv2dParams& p) {
  return conv2d_packed_floats(ctx, p) == 0 ? 0 : simd::conv2d_packed_group(p);
}

absl::Status conv2d_pack(const KernelContext& ctx, const Conv2dParams& p, const float* w, float* packed) {
  LOCKSTEP_RETURN_IF_ERROR(check(p));
  LOCKSTEP_RETURN_IF_ERROR(check_packed("conv2d", conv2d_packed_floats(ctx, p)));
  return simd::conv2d_pack(ctx, p, w, packed);
}

absl::Status conv2d_fwd_packed(const KernelContext& ctx, const Conv2dParams& p, const float* x, const float* packed,
                               const float* b, float* y) {
  LOCKSTEP_RETURN_IF_ERROR(check(p));
  LOCKSTEP_RETURN_IF_ERROR(check_packed("conv2d", conv2d_packed_floats(ctx, p)));
  return p.N == 0 ? absl::OkStatus() : simd::conv2d_fwd_packed(ctx, p, x, packed, b, y);
}

absl::Status conv2d_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const float* w, const float* y,
                             const float* grad_y, float* grad_x) {
  LOCKSTEP_RETURN_IF_ERROR(check(p));
  if (p.N == 0) return absl::OkStatus();
  if (is_device(ctx.backend)) return ctx.device->ops->conv2d_bwd_data(ctx, p, w, y, grad_y, grad_x);
  return use_ref(ctx) ? ref::conv2d_bwd_data(ctx, p, w, y, grad_y, grad_x)
                      : simd::conv2d_bwd_data(ctx, p, w, y, grad_y, grad_x);
}

absl::Status conv2d_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const GradSlices& slices,
                               const float* x, const float* y, const float* grad_y, GradOutput grad_w,
                               GradOutput grad_b) {
  LOCKSTEP_RETURN_IF_ERROR(check(p));
  LOCKSTEP_RETURN_IF_ERROR(check_gradients(p, slices, grad_w, grad_b));
  if (is_device(ctx.backend)) {
    if (p.N == 0) return zero_gradients(ctx, slices, {grad_w, p.filter_size()}, {grad_b, p.K});
    return ctx.device->ops->conv2d_bwd_filter(ctx, p, slices, x, y, grad_y, grad_w, grad_b);
  }
  return use_ref(ctx, p) ? ref::conv2d_bwd_filter(ctx, p, slices, x, y, grad_y, grad_w, grad_b)
                         : simd::conv2d_bwd_filter(ctx, p, slices, x, y, grad_y, grad_w, grad_b);
}

absl::Status conv2d_bwd(const KernelContext& ctx, const Conv2dParams& p, const GradSlices& slices, const float* x,
                        const float* w, const float* y, const float* grad_y, GradOutput grad_w, GradOutput grad_b,
                        float* grad_x) {
  if (is_device(ctx.backend) || use_ref(ctx, p)) {
    LOCKSTEP_RETURN_IF_ERROR(conv2d_bwd_filter(ctx, p, slices, x, y, grad_y, grad_w, grad_b));
    return conv2d_bwd_data(ctx, p, w, y, grad_y, grad_x);
  }
  LOCKSTEP_RETURN_IF_ERROR(check(p));
  LOCKSTEP_RETURN_IF_ERROR(check_gradients(p, slices, grad_w, grad_b));
  return simd::conv2d_bwd(ctx, p, slices, x, w, y, grad_y, grad_w, grad_b, grad_x);
}

absl::Status conv2d_pool_fwd(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool, const float* x,
                             const float* w, const float* b, float* y, uint8_t* argmax) {
  LOCKSTEP_RETURN_IF_ERROR(check(p, pool));
  if (p.N == 0) return absl::OkStatus();
  if (is_device(ctx.backend)) return ctx.device->ops->conv2d_pool_fwd(ctx, p, pool, x, w, b, y, argmax);
  return use_ref(ctx) ? ref::conv2d_pool_fwd(ctx, p, pool, x, w, b, y, argmax)
                      : simd::conv2d_pool_fwd(ctx, p, pool, x, w, b, y, argmax);
}

absl::Status conv2d_pool_fwd_packed(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                    const float* x, const float* packed, const float* b, float* y) {
  LOCKSTEP_RETURN_IF_ERROR(check(p, pool));
  LOCKSTEP_RETURN_IF_ERROR(check_packed("conv2d_pool", conv2d_packed_floats(ctx, p)));
  return p.N == 0 ? absl::OkStatus() : simd::conv2d_pool_fwd_packed(ctx, p, pool, x, packed, b, y);
}

absl::Status conv2d_pool_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                  const float* w, const float* y, const uint8_t* argmax, const float* grad_y,
                                  float* grad_x) {
  LOCKSTEP_RETURN_IF_ERROR(check(p, pool));
  if (p.N == 0) return absl::OkStatus();
  if (is_device(ctx.backend)) return ctx.device->ops->conv2d_pool_bwd_data(ctx, p, pool, w, y, argmax, grad_y, grad_x);
  return use_ref(ctx) ? ref::conv2d_pool_bwd_data(ctx, p, pool, w, y, argmax, grad_y, grad_x)
                      : simd::conv2d_pool_bwd_data(ctx, p, pool, w, y, argmax, grad_y, grad_x);
}

absl::Status conv2d_pool_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                    const GradSlices& slices, const float* x, const float* y, const uint8_t* argmax,
                                    const float* grad_y, GradOutput grad_w, GradOutput grad_b) {
  LOCKSTEP_RETURN_IF_ERROR(check(p, pool));
  LOCKSTEP_RETURN_IF_ERROR(check_gradients(p, slices, grad_w, grad_b));
  if (is_device(ctx.backend)) {
    if (p.N == 0) return zero_gradients(ctx, slices, {grad_w, p.filter_size()}, {grad_b, p.K});
    return ctx.device->ops->conv2d_pool_bwd_filter(ctx, p, pool, slices, x, y, argmax, grad_y, grad_w, grad_b);
  }
  return use_ref(ctx, p) ? ref::conv2d_pool_bwd_filter(ctx, p, pool, slices, x, y, argmax, grad_y, grad_w, grad_b)
                         : simd::conv2d_pool_bwd_filter(ctx, p, pool, slices, x, y, argmax, grad_y, grad_w, grad_b);
}

absl::Status conv2d_pool_bwd(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                             const GradSlices& slices, const float* x, const float* w, const float* y,
                             const uint8_t* argmax, const float* grad_y, GradOutput grad_w, GradOutput grad_b,
                             float* grad_x) {
  if (is_device(ctx.backend) || use_ref(ctx, p)) {
    LOCKSTEP_RETURN_IF_ERROR(conv2d_pool_bwd_filter(ctx, p, pool, slices, x, y, argmax, grad_y, grad_w, grad_b));
    return conv2d_pool_bwd_data(ctx, p, pool, w, y, argmax, grad_y, grad_x);
  }
  LOCKSTEP_RETURN_IF_ERROR(check(p, pool));
  LOCKSTEP_RETURN_IF_ERROR(check_gradients(p, slices, grad_w, grad_b));
  return simd::conv2d_pool_bwd(ctx, p, pool, slices, x, w, y, argmax, grad_y, grad_w, grad_b, grad_x);
}

}  // namespace lockstep
