// SPDX-License-Identifier: Apache-2.0
// The implementations behind dropout.h: same contracts, arguments already checked.
#pragma once

#include "kernels/dropout/dropout.h"

namespace lockstep::ref {
absl::Status dropout_fwd(const KernelContext& ctx, const DropoutParams& p, const float* x, float* y);
absl::Status dropout_bwd(const KernelContext& ctx, const DropoutParams& p, const float* grad_y, float* grad_x);
}  // namespace lockstep::ref

namespace lockstep::simd {
absl::Status dropout_fwd(const KernelContext& ctx, const DropoutParams& p, const float* x, float* y);
absl::Status dropout_bwd(const KernelContext& ctx, const DropoutParams& p, const float* grad_y, float* grad_x);
}  // namespace lockstep::simd

namespace lockstep::cuda {
decltype(ref::dropout_fwd) dropout_fwd;
decltype(ref::dropout_bwd) dropout_bwd;
}  // namespace lockstep::cuda
