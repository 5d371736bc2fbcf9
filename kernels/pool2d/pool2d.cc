// SPDX-License-Identifier: Apache-2.0
#include "kernels/pool2d/pool2d.h"

#include <fmt/format.h>

#include "kernels/arguments.h"
#include "kernels/device_ops.h"

namespace lockstep {
namespace {

absl::Status check(const Pool2dParams& p) {
  LOCKSTEP_RETURN_IF_ERROR(check_not_negative("pool2d", {{"N", p.N}}));
  LOCKSTEP_RETURN_IF_ERROR(
      check_positive("pool2d", {{"H", p.H}, {"W", p.W}, {"C", p.C}, {"window", p.window}, {"stride", p.stride}}));
  if (p.window > 16) {
    return absl::InvalidArgumentError(fmt::format("pool2d: window must be at most 16, got {}", p.window));
  }
  if (p.OH() < 1 || p.OW() < 1) {
    return absl::InvalidArgumentError(
        fmt::format("pool2d: a VALID window of {} does not fit into {} x {}", p.window, p.H, p.W));
  }
  return check_addressable("pool2d", "the input", {p.N, p.H, p.W, p.C});
}

}  // namespace

absl::Status pool2d_max_fwd(const KernelContext& ctx, const Pool2dParams& p, const float* x, float* y,
                            uint8_t* argmax) {
  LOCKSTEP_RETURN_IF_ERROR(check(p));
  if (p.N == 0) return absl::OkStatus();
  if (is_device(ctx.backend)) return ctx.device->ops->pool2d_max_fwd(ctx, p, x, y, argmax);
  return ctx.backend == Backend::kRef ? ref::pool2d_max_fwd(ctx, p, x, y, argmax)
                                      : simd::pool2d_max_fwd(ctx, p, x, y, argmax);
}

absl::Status pool2d_max_bwd(const KernelContext& ctx, const Pool2dParams& p, const uint8_t* argmax, const float* grad_y,
                            float* grad_x) {
  LOCKSTEP_RETURN_IF_ERROR(check(p));
  if (p.N == 0) return absl::OkStatus();
  if (is_device(ctx.backend)) return ctx.device->ops->pool2d_max_bwd(ctx, p, argmax, grad_y, grad_x);
  return ctx.backend == Backend::kRef ? ref::pool2d_max_bwd(ctx, p, argmax, grad_y, grad_x)
                                      : simd::pool2d_max_bwd(ctx, p, argmax, grad_y, grad_x);
}

}  // namespace lockstep
