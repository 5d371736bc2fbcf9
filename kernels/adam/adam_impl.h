// SPDX-License-Identifier: Apache-2.0
// The implementations behind adam.h: same contracts, arguments already checked.
#pragma once

#include "kernels/adam/adam.h"

namespace lockstep::ref {
absl::Status adam_update(const KernelContext& ctx, const AdamParams& p, int64_t count, std::span<const GradTerm> terms,
                         float* m, float* v, float* w);
}  // namespace lockstep::ref

namespace lockstep::simd {
absl::Status adam_update(const KernelContext& ctx, const AdamParams& p, int64_t count, std::span<const GradTerm> terms,
                         float* m, float* v, float* w);
}  // namespace lockstep::simd

namespace lockstep::cuda {
decltype(ref::adam_update) adam_update;
}  // namespace lockstep::cuda
