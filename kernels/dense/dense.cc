// SPDX-License-Identifier: Apache-2.0
#include "kernels/dense/dense.h"

#include "kernels/arguments.h"
#include "kernels/device_ops.h"

namespace lockstep {
namespace {

absl::Status check(const DenseParams& p) {
  LOCKSTEP_RETURN_IF_ERROR(check_not_negative("dense", {{"N", p.N}, {"I", p.I}, {"O", p.O}}));
  LOCKSTEP_RETURN_IF_ERROR(check_addressable("dense", "the input", {p.N, p.I}));
  LOCKSTEP_RETURN_IF_ERROR(check_addressable("dense", "the weights", {p.I, p.O}));
  return check_addressable("dense", "the output", {p.N, p.O});
}

// Without inputs or outputs every sum is empty, and the plain loops say what that gives: fast versions need not.
bool use_ref(const KernelContext& ctx, const DenseParams& p) {
  return ctx.backend == Backend::kRef || p.I == 0 || p.O == 0;
}

}  // namespace

absl::Status dense_fwd(const KernelContext& ctx, const DenseParams& p, const float* x, const float* w, const float* b,
                       float* y) {
  LOCKSTEP_RETURN_IF_ERROR(check(p));
  if (p.N == 0) return absl::OkStatus();
  if (is_device(ctx.backend)) return ctx.device->ops->dense_fwd(ctx, p, x, w, b, y);
  return use_ref(ctx, p) ? ref::dense_fwd(ctx, p, x, w, b, y) : simd::dense_fwd(ctx, p, x, w, b, y);
}

int64_t dense_packed_floats(const KernelContext& ctx, const DenseParams& p) {
  return is_device(ctx.backend) || use_ref(ctx, p) ? 0 : simd::dense_packed_floats(p);
}

absl::Status dense_pack(const KernelContext& ctx, const DenseParams& p, const float* w, float* packed) {
  LOCKSTEP_RETURN_IF_ERROR(check(p));
  LOCKSTEP_RETURN_IF_ERROR(check_packed("dense", dense_packed_floats(ctx, p)));
  return simd::dense_pack(ctx, p, w, packed);
}

absl::Status dense_fwd_packed(const KernelContext& ctx, const DenseParams& p, const float* x, const float* packed,
                              const float* b, float* y) {
  LOCKSTEP_RETURN_IF_ERROR(check(p));
  LOCKSTEP_RETURN_IF_ERROR(check_packed("dense", dense_packed_floats(ctx, p)));
  return p.N == 0 ? absl::OkStatus() : simd::dense_fwd_packed(ctx, p, x, packed, b, y);
}

absl::Status dense_bwd_data(const KernelContext& ctx, const DenseParams& p, const float* w, const float* y,
                            const float* grad_y, float* grad_x) {
  LOCKSTEP_RETURN_IF_ERROR(check(p));
  if (p.N == 0) return absl::OkStatus();
  if (is_device(ctx.backend)) return ctx.device->ops->dense_bwd_data(ctx, p, w, y, grad_y, grad_x);
  return use_ref(ctx, p) ? ref::dense_bwd_data(ctx, p, w, y, grad_y, grad_x)
                         : simd::dense_bwd_data(ctx, p, w, y, grad_y, grad_x);
}

absl::Status dense_bwd_filter(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices, const float* x,
                              const float* y, const float* grad_y, GradOutput grad_w, GradOutput grad_b) {
  LOCKSTEP_RETURN_IF_ERROR(check(p));
  LOCKSTEP_RETURN_IF_ERROR(check_slices("dense", slices, p.N));
  LOCKSTEP_RETURN_IF_ERROR(check_grad_output("dense", "grad_w", grad_w, int64_t{p.I} * p.O, slices));
  LOCKSTEP_RETURN_IF_ERROR(check_grad_output("dense", "grad_b", grad_b, p.O, slices));
  if (is_device(ctx.backend)) {
    if (p.N == 0) return zero_gradients(ctx, slices, {grad_w, int64_t{p.I} * p.O}, {grad_b, p.O});
    return ctx.device->ops->dense_bwd_filter(ctx, p, slices, x, y, grad_y, grad_w, grad_b);
  }
  return use_ref(ctx, p) || p.N == 0 ? ref::dense_bwd_filter(ctx, p, slices, x, y, grad_y, grad_w, grad_b)
                                     : simd::dense_bwd_filter(ctx, p, slices, x, y, grad_y, grad_w, grad_b);
}

}  // namespace lockstep
