// SPDX-License-Identifier: Apache-2.0
// Weight gradient of a dense layer and Adam in one pass over a range of its weights: a tile of the gradient goes from
// the registers into moments and weights and is never in memory. Each element gets the bits that dense_bwd_filter and
// adam_update of the same backend give it, so ranges may be split over calls, ranks and threads, and the batch over
// parts. CPU only. Buffers must not overlap; no alignment needed; thread-safe on disjoint ranges.
#pragma once

#include <cstdint>
#include <span>

#include "core/base/status.h"
#include "kernels/adam/adam.h"
#include "kernels/dense/dense.h"

namespace lockstep {

// Factors of the weight gradient of `N` examples, as dense_operands writes them: the inputs (N, I), then the output
// gradients behind the ReLU (N, O).
struct DenseOperands {
  int64_t N = 0;
  const float* data = nullptr;
};

// Elements [begin, end) of a variable: element i and its moments at w[i], m[i] and v[i].
struct AdamRange {
  int64_t begin = 0, end = 0;
  float *m = nullptr, *v = nullptr, *w = nullptr;
};

// Floats of the operands of one example.
inline int64_t dense_operand_floats(const DenseParams& p) { return int64_t{p.I} + p.O; }

absl::Status dense_operands(const KernelContext& ctx, const DenseParams& p,
                            const float* x,       // (N, I)
                            const float* y,       // (N, O) output of dense_fwd; may be null without ReLU
                            const float* grad_y,  // (N, O)
                            float* operands);     // (N * dense_operand_floats(p)), overwritten

// Floats that dense_update on the CPU keeps from call to call, besides a few rows of inputs a thread.
int64_t dense_update_scratch_floats(const DenseParams& p);

// `parts` hold the p.N examples of the global batch in order, `slices` is its whole tree (one subtree). p.relu does not
// matter. Errors: InvalidArgument for sizes that do not fit together, ranges outside of (I, O) and (O), or a GPU.
absl::Status dense_update(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices,
                          std::span<const DenseOperands> parts, const AdamParams& adam, const AdamRange& kernel,
                          const AdamRange& bias);

}  // namespace lockstep
