// SPDX-License-Identifier: Apache-2.0
// What cuDNN's softmax leaves of our contract: rows that are not finite, loss and gradient. Our kernels; they enqueue
// on the device context's stream.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "kernels/backend.h"
#include "kernels/softmax_xent/softmax_xent.h"

namespace lockstep::cuda {

// Rows of `to` become NaN where the row of logits holds a NaN or an infinity; others stay. `to` may be the logits.
absl::Status spoil_rows(const DeviceContext& device, int64_t N, int C, const float* logits, float* to);

// From the logarithms of the probabilities: loss[n] = -log_p[n, label] (NaN for a label outside the classes),
// probabilities = exp(log_p), grad_logits = (probabilities - onehot) * grad_scale. Null outputs are not written, and
// without loss and grad_logits there need be no labels; the last two may be log_p itself.
absl::Status finish_softmax_xent(const DeviceContext& device, const SoftmaxXentParams& p,
                                 const float* log_p,     // (N, C)
                                 const int32_t* labels,  // (N) or null
                                 float* loss,            // (N) or null
                                 float* probabilities,   // (N, C) or null
                                 float* grad_logits);    // (N, C) or null

}  // namespace lockstep::cuda
