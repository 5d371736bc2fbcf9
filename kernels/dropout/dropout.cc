// SPDX-License-Identifier: Apache-2.0
#include "kernels/dropout/dropout.h"

#include <fmt/format.h>

#include "kernels/arguments.h"
#include "kernels/device_ops.h"

namespace lockstep {
namespace {

// The element number of a draw is layer * 2^24 + unit in 32 bits.
constexpr int64_t kMaxUnits = int64_t{1} << 24;
constexpr uint32_t kMaxLayers = 256;

absl::Status check(const DropoutParams& p) {
  LOCKSTEP_RETURN_IF_ERROR(check_not_negative("dropout", {{"N", p.N}, {"units", p.units}}));
  if (!(p.rate >= 0 && p.rate < 1)) {
    return absl::InvalidArgumentError(fmt::format("dropout: rate must be in [0, 1), got {}", p.rate));
  }
  if (p.units > kMaxUnits) {
    return absl::InvalidArgumentError(fmt::format("dropout: units must be at most {}, got {}", kMaxUnits, p.units));
  }
  if (p.layer >= kMaxLayers) {
    return absl::InvalidArgumentError(fmt::format("dropout: layer must be below {}, got {}", kMaxLayers, p.layer));
  }
  return check_addressable("dropout", "the input", {p.N, p.units});
}

}  // namespace

absl::Status dropout_fwd(const KernelContext& ctx, const DropoutParams& p, const float* x, float* y) {
  LOCKSTEP_RETURN_IF_ERROR(check(p));
  if (p.N == 0 || p.units == 0) return absl::OkStatus();
  if (is_device(ctx.backend)) return ctx.device->ops->dropout_fwd(ctx, p, x, y);
  return ctx.backend == Backend::kRef ? ref::dropout_fwd(ctx, p, x, y) : simd::dropout_fwd(ctx, p, x, y);
}

absl::Status dropout_bwd(const KernelContext& ctx, const DropoutParams& p, const float* grad_y, float* grad_x) {
  LOCKSTEP_RETURN_IF_ERROR(check(p));
  if (p.N == 0 || p.units == 0) return absl::OkStatus();
  if (is_device(ctx.backend)) return ctx.device->ops->dropout_bwd(ctx, p, grad_y, grad_x);
  return ctx.backend == Backend::kRef ? ref::dropout_bwd(ctx, p, grad_y, grad_x)
                                      : simd::dropout_bwd(ctx, p, grad_y, grad_x);
}

}  // namespace lockstep
