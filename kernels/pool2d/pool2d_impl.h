// SPDX-License-Identifier: Apache-2.0
// The implementations behind pool2d.h: same contracts, arguments already checked.
#pragma once

#include "kernels/pool2d/pool2d.h"

namespace lockstep::ref {
absl::Status pool2d_max_fwd(const KernelContext& ctx, const Pool2dParams& p, const float* x, float* y, uint8_t* argmax);
absl::Status pool2d_max_bwd(const KernelContext& ctx, const Pool2dParams& p, const uint8_t* argmax, const float* grad_y,
                            float* grad_x);
}  // namespace lockstep::ref

namespace lockstep::simd {
absl::Status pool2d_max_fwd(const KernelContext& ctx, const Pool2dParams& p, const float* x, float* y, uint8_t* argmax);
absl::Status pool2d_max_bwd(const KernelContext& ctx, const Pool2dParams& p, const uint8_t* argmax, const float* grad_y,
                            float* grad_x);
}  // namespace lockstep::simd

namespace lockstep::cuda {
decltype(ref::pool2d_max_fwd) pool2d_max_fwd;
decltype(ref::pool2d_max_bwd) pool2d_max_bwd;
}  // namespace lockstep::cuda

namespace lockstep::cudnn {
decltype(ref::pool2d_max_fwd) pool2d_max_fwd;
decltype(ref::pool2d_max_bwd) pool2d_max_bwd;
}  // namespace lockstep::cudnn
