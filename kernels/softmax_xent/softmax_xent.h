// SPDX-License-Identifier: Apache-2.0
// Softmax and sparse cross-entropy over rows of logits, forward and backward in one pass.
// loss[n] = log(sum_c exp(logits[n,c])) - logits[n,label]; grad = (softmax - onehot) * grad_scale.
// A row's results depend on that row alone. Logits of any finite size are safe (the row maximum is subtracted); a NaN
// or infinity in a row gives NaN in that row. probabilities and grad_logits may be null, or the same buffer as logits.
// Errors: InvalidArgument for C < 1 or a label outside [0, C), naming the example; then no output is touched. On a GPU,
// which meets the labels when it runs, such a label makes its example's loss NaN, and its gradient that of no label.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "kernels/backend.h"

namespace lockstep {

struct SoftmaxXentParams {
  int64_t N = 0;
  int C = 0;
  float grad_scale = 1;  // 1 / global batch for the mean loss
};

absl::Status softmax_xent(const KernelContext& ctx, const SoftmaxXentParams& p,
                          const float* logits,    // (N, C)
                          const int32_t* labels,  // (N)
                          float* loss,            // (N)
                          float* probabilities,   // (N, C) or null
                          float* grad_logits);    // (N, C) or null

// Softmax alone, for prediction.
absl::Status softmax(const KernelContext& ctx, int64_t N, int C,
                     const float* logits,    // (N, C)
                     float* probabilities);  // (N, C); may be the same buffer

}  // namespace lockstep
