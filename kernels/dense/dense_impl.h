// SPDX-License-Identifier: Apache-2.0
// The implementations behind dense.h: same contracts, arguments already checked.
#pragma once

#include "kernels/dense/dense.h"

namespace lockstep::ref {
absl::Status dense_fwd(const KernelContext& ctx, const DenseParams& p, const float* x, const float* w, const float* b,
                       float* y);
absl::Status dense_bwd_data(const KernelContext& ctx, const DenseParams& p, const float* w, const float* y,
                            const float* grad_y, float* grad_x);
absl::Status dense_bwd_filter(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices, const float* x,
                              const float* y, const float* grad_y, GradOutput grad_w, GradOutput grad_b);
}  // namespace lockstep::ref

namespace lockstep::simd {
absl::Status dense_fwd(const KernelContext& ctx, const DenseParams& p, const float* x, const float* w, const float* b,
                       float* y);
absl::Status dense_bwd_data(const KernelContext& ctx, const DenseParams& p, const float* w, const float* y,
                            const float* grad_y, float* grad_x);
absl::Status dense_bwd_filter(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices, const float* x,
                              const float* y, const float* grad_y, GradOutput grad_w, GradOutput grad_b);
}  // namespace lockstep::simd

namespace lockstep::cuda {
decltype(ref::dense_fwd) dense_fwd;
decltype(ref::dense_bwd_data) dense_bwd_data;
decltype(ref::dense_bwd_filter) dense_bwd_filter;
// Of DeviceContext::workspace, for all three passes.
int64_t dense_workspace_bytes(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices);
}  // namespace lockstep::cuda
