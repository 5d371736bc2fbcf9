// SPDX-License-Identifier: Apache-2.0
// The implementations behind dense.h and dense_update.h: same contracts, arguments already checked.
#pragma once

#include "kernels/dense/dense.h"
#include "kernels/dense/dense_update.h"

namespace lockstep::ref {
absl::Status dense_fwd(const KernelContext& ctx, const DenseParams& p, const float* x, const float* w, const float* b,
                       float* y);
absl::Status dense_bwd_data(const KernelContext& ctx, const DenseParams& p, const float* w, const float* y,
                            const float* grad_y, float* grad_x);
absl::Status dense_bwd_filter(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices, const float* x,
                              const float* y, const float* grad_y, GradOutput grad_w, GradOutput grad_b);
absl::Status dense_update(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices,
                          std::span<const DenseOperands> parts, const AdamParams& adam, const AdamRange& kernel,
                          const AdamRange& bias);
}  // namespace lockstep::ref

namespace lockstep::simd {
absl::Status dense_fwd(const KernelContext& ctx, const DenseParams& p, const float* x, const float* w, const float* b,
                       float* y);
absl::Status dense_bwd_data(const KernelContext& ctx, const DenseParams& p, const float* w, const float* y,
                            const float* grad_y, float* grad_x);
absl::Status dense_bwd_filter(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices, const float* x,
                              const float* y, const float* grad_y, GradOutput grad_w, GradOutput grad_b);
absl::Status dense_update(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices,
                          std::span<const DenseOperands> parts, const AdamParams& adam, const AdamRange& kernel,
                          const AdamRange& bias);
int64_t dense_update_scratch_floats(const DenseParams& p);
int64_t dense_packed_floats(const DenseParams& p);
absl::Status dense_pack(const KernelContext& ctx, const DenseParams& p, const float* w, float* packed);
absl::Status dense_fwd_packed(const KernelContext& ctx, const DenseParams& p, const float* x, const float* packed,
                              const float* b, float* y);
// x (N, K) packed for packed_product of dense_tiles-inl.h. Valid until this thread's next call.
const float* dense_pack_tiles(const KernelContext& ctx, int64_t N, int K, const float* x);
}  // namespace lockstep::simd

namespace lockstep::cuda {
decltype(ref::dense_fwd) dense_fwd;
decltype(ref::dense_bwd_data) dense_bwd_data;
decltype(ref::dense_bwd_filter) dense_bwd_filter;
// Of DeviceContext::workspace, for all three passes.
int64_t dense_workspace_bytes(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices);
}  // namespace lockstep::cuda
