// SPDX-License-Identifier: Apache-2.0
// Fully connected layer with bias and optional ReLU: y = x w + b. Weights input-major (I, O), all float32 and dense.
// Buffers must not overlap; no alignment needed; thread-safe. N = 0 does nothing but write zero weight gradients.
// Errors: InvalidArgument for negative sizes or slices that do not cover N.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "kernels/backend.h"
#include "kernels/grad_slices.h"

namespace lockstep {

struct DenseParams {
  int64_t N = 0;  // examples
  int I = 0;      // inputs
  int O = 0;      // outputs
  bool relu = false;

  // 2 * multiply-adds of one pass.
  double flops() const { return 2.0 * static_cast<double>(N) * I * O; }
};

absl::Status dense_fwd(const KernelContext& ctx, const DenseParams& p,
                       const float* x,  // (N, I)
                       const float* w,  // (I, O)
                       const float* b,  // (O)
                       float* y);       // (N, O)

// Weights laid out once for many forward passes: dense_packed_floats floats, or 0 where the backend has no such layout.
// The layout is of this process and machine. dense_fwd_packed gives the bits of dense_fwd; with ReLU it leaves out
// inputs of zero, so that its time depends on x. Errors: InvalidArgument where there is no layout.
int64_t dense_packed_floats(const KernelContext& ctx, const DenseParams& p);
absl::Status dense_pack(const KernelContext& ctx, const DenseParams& p, const float* w, float* packed);
absl::Status dense_fwd_packed(const KernelContext& ctx, const DenseParams& p, const float* x, const float* packed,
                              const float* b, float* y);

// grad_x = (grad_y masked where p.relu and y <= 0) w^T.
absl::Status dense_bwd_data(const KernelContext& ctx, const DenseParams& p,
                            const float* w,       // (I, O)
                            const float* y,       // (N, O) output of dense_fwd; may be null without ReLU
                            const float* grad_y,  // (N, O)
                            float* grad_x);       // (N, I), overwritten

// grad_w = x^T (masked grad_y), grad_b = column sums: one partial sum per subtree of `slices`, overwritten.
absl::Status dense_bwd_filter(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices,
                              const float* x,       // (N, I)
                              const float* y,       // as in dense_bwd_data
                              const float* grad_y,  // (N, O)
                              GradOutput grad_w,    // per subtree (I, O)
                              GradOutput grad_b);   // per subtree (O)

}  // namespace lockstep
