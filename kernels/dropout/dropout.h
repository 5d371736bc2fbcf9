// SPDX-License-Identifier: Apache-2.0
// Inverted dropout: keeps a unit with probability 1 - rate and scales it by 1 / (1 - rate).
// The decision is a function of (seed, step, layer, position of the example in the global batch, unit): unit u is
// dropped when RngStream(seed, kDropout, step, example).uniform(layer * 2^24 + u) < rate. Forward and backward draw it
// again, so no mask is stored. x and y (grad_y and grad_x) may be the same buffer. Thread-safe. Errors: InvalidArgument
// unless 0 <= rate < 1 and units <= 2^24 and layer < 256.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "kernels/backend.h"

namespace lockstep {

struct DropoutParams {
  int64_t N = 0;  // examples
  int64_t units = 0;
  float rate = 0;
  uint64_t seed = 0;
  uint64_t step = 0;
  uint32_t layer = 0;
  uint32_t first_example = 0;  // position in the global batch of local example 0
};

absl::Status dropout_fwd(const KernelContext& ctx, const DropoutParams& p,
                         const float* x,  // (N, units)
                         float* y);       // (N, units)
absl::Status dropout_bwd(const KernelContext& ctx, const DropoutParams& p,
                         const float* grad_y,  // (N, units)
                         float* grad_x);       // (N, units)

}  // namespace lockstep
