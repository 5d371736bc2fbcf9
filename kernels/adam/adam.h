// SPDX-License-Identifier: Apache-2.0
// Adam (Kingma & Ba 2015) in TensorFlow's formulation over a flat range of parameters:
//   g  = the terms added along the slice tree
//   m  = m + (g - m) * (1 - beta1)          v = v + (g * g - v) * (1 - beta2)
//   w -= lr * sqrt(1 - beta2_power) / (1 - beta1_power) * m / (sqrt(v) + epsilon)
// where the powers are beta^t at step t (t = 1 for the first). Element-wise: any split of the range over calls, ranks
// or threads gives the same bits. Buffers must not overlap. Thread-safe on disjoint ranges. Errors: InvalidArgument
// when there is no term or the terms are not adjacent subtrees of one tree.
#pragma once

#include <cstdint>
#include <span>

#include "core/base/status.h"
#include "kernels/backend.h"

namespace lockstep {

struct AdamParams {
  float learning_rate = 1e-3f;
  float beta1 = 0.9f, beta2 = 0.999f;
  float epsilon = 1e-8f;
  float beta1_power = 0.9f, beta2_power = 0.999f;
};

// A partial gradient: the sum over `slices` adjacent slices (a power of two).
struct GradTerm {
  const float* data = nullptr;  // (count)
  int slices = 1;
};

// terms[0] starts at slice 0, each next term where the one before ends; together they are the whole tree.
absl::Status adam_update(const KernelContext& ctx, const AdamParams& p, int64_t count, std::span<const GradTerm> terms,
                         float* m, float* v, float* w);  // (count) each, updated in place

}  // namespace lockstep
