// SPDX-License-Identifier: Apache-2.0
// The implementations behind adam.h: same contracts, arguments already checked.
#pragma once

#include <cmath>

#include "kernels/adam/adam.h"

namespace lockstep::ref {
absl::Status adam_update(const KernelContext& ctx, const AdamParams& p, int64_t count, std::span<const GradTerm> terms,
                         float* m, float* v, float* w);
}  // namespace lockstep::ref

namespace lockstep::simd {
// The learning rate with the corrections for the moments' start at zero.
inline float adam_rate(const AdamParams& p) {
  return p.learning_rate * std::sqrt(1.0f - p.beta2_power) / (1.0f - p.beta1_power);
}
absl::Status adam_update(const KernelContext& ctx, const AdamParams& p, int64_t count, std::span<const GradTerm> terms,
                         float* m, float* v, float* w);
}  // namespace lockstep::simd

namespace lockstep::cuda {
decltype(ref::adam_update) adam_update;
}  // namespace lockstep::cuda
