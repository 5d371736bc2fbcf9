// SPDX-License-Identifier: Apache-2.0
// What stands between our contract and cuDNN's convolutions: filters in its order, bias and ReLU behind it, the mask of
// the ReLU and the bias gradient. Our kernels; all enqueue on the device context's stream. Buffers must not overlap.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "kernels/backend.h"
#include "kernels/grad_slices.h"

namespace lockstep::cuda {

// to (columns, rows) = from (rows, columns), transposed. Our filters (R, S, C, K) are R*S*C rows of K; cuDNN's
// (K, R, S, C) are K rows of R*S*C.
absl::Status transpose(const DeviceContext& device, const float* from, int64_t rows, int64_t columns, float* to);

// y = y + b, then max(0, y) if `relu` (NaN stays), in place; y is (rows, K), b (K).
absl::Status add_bias(const DeviceContext& device, int64_t rows, int K, const float* b, bool relu, float* y);

// masked = grad where y > 0 or y is NaN, else 0.
absl::Status mask_by_relu(const DeviceContext& device, int64_t count, const float* y, const float* grad, float* masked);

// Floats that bias_gradient needs of scratch memory.
int64_t bias_gradient_scratch(const GradSlices& slices, int K);

// grad_b's partial sum t = the tree sum over the slices of subtree t of the sum of an example's rows of grad.
absl::Status bias_gradient(const KernelContext& ctx, const GradSlices& slices, int64_t rows_per_example, int K,
                           const float* grad,  // (N, rows_per_example, K)
                           float* scratch, GradOutput grad_b);

}  // namespace lockstep::cuda
