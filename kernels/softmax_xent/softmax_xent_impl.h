// SPDX-License-Identifier: Apache-2.0
// The implementations behind softmax_xent.h: same contracts, arguments already checked.
#pragma once

#include "kernels/softmax_xent/softmax_xent.h"

namespace lockstep::ref {
absl::Status softmax_xent(const KernelContext& ctx, const SoftmaxXentParams& p, const float* logits,
                          const int32_t* labels, float* loss, float* probabilities, float* grad_logits);
absl::Status softmax(const KernelContext& ctx, int64_t N, int C, const float* logits, float* probabilities);
}  // namespace lockstep::ref

namespace lockstep::simd {
absl::Status softmax_xent(const KernelContext& ctx, const SoftmaxXentParams& p, const float* logits,
                          const int32_t* labels, float* loss, float* probabilities, float* grad_logits);
absl::Status softmax(const KernelContext& ctx, int64_t N, int C, const float* logits, float* probabilities);
}  // namespace lockstep::simd

namespace lockstep::cuda {
decltype(ref::softmax_xent) softmax_xent;
decltype(ref::softmax) softmax;
}  // namespace lockstep::cuda

namespace lockstep::cudnn {
decltype(ref::softmax_xent) softmax_xent;
decltype(ref::softmax) softmax;

// DeviceOps::softmax_xent_workspace_bytes.
int64_t softmax_xent_workspace_bytes(const KernelContext& ctx, int64_t N, int C);
}  // namespace lockstep::cudnn
