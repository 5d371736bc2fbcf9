// SPDX-License-Identifier: Apache-2.0
// The implementations behind conv2d.h: same contracts, arguments already checked.
#pragma once

#include "kernels/conv2d/conv2d.h"

namespace lockstep::ref {
absl::Status conv2d_fwd(const KernelContext& ctx, const Conv2dParams& p, const float* x, const float* w, const float* b,
                        float* y);
absl::Status conv2d_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const float* w, const float* y,
                             const float* grad_y, float* grad_x);
absl::Status conv2d_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const GradSlices& slices,
                               const float* x, const float* y, const float* grad_y, GradOutput grad_w,
                               GradOutput grad_b);
absl::Status conv2d_pool_fwd(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool, const float* x,
                             const float* w, const float* b, float* y, uint8_t* argmax);
absl::Status conv2d_pool_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                  const float* w, const float* y, const uint8_t* argmax, const float* grad_y,
                                  float* grad_x);
absl::Status conv2d_pool_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                    const GradSlices& slices, const float* x, const float* y, const uint8_t* argmax,
                                    const float* grad_y, GradOutput grad_w, GradOutput grad_b);
}  // namespace lockstep::ref

namespace lockstep::simd {
int64_t conv2d_packed_floats(const Conv2dParams& p);
int conv2d_packed_group(const Conv2dParams& p);
absl::Status conv2d_pack(const KernelContext& ctx, const Conv2dParams& p, const float* w, float* packed);
absl::Status conv2d_fwd_packed(const KernelContext& ctx, const Conv2dParams& p, const float* x, const float* packed,
                               const float* b, float* y);
absl::Status conv2d_pool_fwd_packed(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                    const float* x, const float* packed, const float* b, float* y);
absl::Status conv2d_fwd(const KernelContext& ctx, const Conv2dParams& p, const float* x, const float* w, const float* b,
                        float* y);
absl::Status conv2d_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const float* w, const float* y,
                             const float* grad_y, float* grad_x);
absl::Status conv2d_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const GradSlices& slices,
                               const float* x, const float* y, const float* grad_y, GradOutput grad_w,
                               GradOutput grad_b);
absl::Status conv2d_pool_fwd(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool, const float* x,
                             const float* w, const float* b, float* y, uint8_t* argmax);
absl::Status conv2d_pool_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                  const float* w, const float* y, const uint8_t* argmax, const float* grad_y,
                                  float* grad_x);
absl::Status conv2d_pool_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                    const GradSlices& slices, const float* x, const float* y, const uint8_t* argmax,
                                    const float* grad_y, GradOutput grad_w, GradOutput grad_b);
absl::Status conv2d_bwd(const KernelContext& ctx, const Conv2dParams& p, const GradSlices& slices, const float* x,
                        const float* w, const float* y, const float* grad_y, GradOutput grad_w, GradOutput grad_b,
                        float* grad_x);
absl::Status conv2d_pool_bwd(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                             const GradSlices& slices, const float* x, const float* w, const float* y,
                             const uint8_t* argmax, const float* grad_y, GradOutput grad_w, GradOutput grad_b,
                             float* grad_x);
}  // namespace lockstep::simd

namespace lockstep::cuda {
decltype(ref::conv2d_fwd) conv2d_fwd;
decltype(ref::conv2d_bwd_data) conv2d_bwd_data;
decltype(ref::conv2d_bwd_filter) conv2d_bwd_filter;
decltype(ref::conv2d_pool_fwd) conv2d_pool_fwd;
decltype(ref::conv2d_pool_bwd_data) conv2d_pool_bwd_data;
decltype(ref::conv2d_pool_bwd_filter) conv2d_pool_bwd_filter;

// DeviceOps::conv2d_workspace_bytes.
int64_t conv2d_workspace_bytes(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams* pool,
                               const GradSlices& slices);
}  // namespace lockstep::cuda

namespace lockstep::cudnn {
decltype(ref::conv2d_fwd) conv2d_fwd;
decltype(ref::conv2d_bwd_data) conv2d_bwd_data;
decltype(ref::conv2d_bwd_filter) conv2d_bwd_filter;
decltype(ref::conv2d_pool_fwd) conv2d_pool_fwd;
decltype(ref::conv2d_pool_bwd_data) conv2d_pool_bwd_data;
decltype(ref::conv2d_pool_bwd_filter) conv2d_pool_bwd_filter;
decltype(cuda::conv2d_workspace_bytes) conv2d_workspace_bytes;
}  // namespace lockstep::cudnn
