// SPDX-License-Identifier: Apache-2.0
#include "kernels/softmax_xent/softmax_xent.h"

#include <fmt/format.h>

#include "kernels/arguments.h"
#include "kernels/device_ops.h"

namespace lockstep {
namespace {

absl::Status check(int64_t N, int C) {
  LOCKSTEP_RETURN_IF_ERROR(check_not_negative("softmax", {{"N", N}}));
  LOCKSTEP_RETURN_IF_ERROR(check_positive("softmax", {{"C", C}}));
  return check_addressable("softmax", "the logits", {N, C});
}

absl::Status check_labels(const SoftmaxXentParams& p, const int32_t* labels) {
  for (int64_t n = 0; n < p.N; ++n) {
    if (labels[n] >= 0 && labels[n] < p.C) continue;
    return absl::InvalidArgumentError(
        fmt::format("softmax_xent: the label of example {} must be in [0, {}), got {}", n, p.C, labels[n]));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status softmax_xent(const KernelContext& ctx, const SoftmaxXentParams& p, const float* logits,
                          const int32_t* labels, float* loss, float* probabilities, float* grad_logits) {
  LOCKSTEP_RETURN_IF_ERROR(check(p.N, p.C));
  if (!is_device(ctx.backend)) LOCKSTEP_RETURN_IF_ERROR(check_labels(p, labels));
  if (p.N == 0) return absl::OkStatus();
  if (is_device(ctx.backend))
    return ctx.device->ops->softmax_xent(ctx, p, logits, labels, loss, probabilities, grad_logits);
  return ctx.backend == Backend::kRef ? ref::softmax_xent(ctx, p, logits, labels, loss, probabilities, grad_logits)
                                      : simd::softmax_xent(ctx, p, logits, labels, loss, probabilities, grad_logits);
}

absl::Status softmax(const KernelContext& ctx, int64_t N, int C, const float* logits, float* probabilities) {
  LOCKSTEP_RETURN_IF_ERROR(check(N, C));
  if (N == 0) return absl::OkStatus();
  if (is_device(ctx.backend)) return ctx.device->ops->softmax(ctx, N, C, logits, probabilities);
  return ctx.backend == Backend::kRef ? ref::softmax(ctx, N, C, logits, probabilities)
                                      : simd::softmax(ctx, N, C, logits, probabilities);
}

}  // namespace lockstep
