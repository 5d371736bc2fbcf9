// SPDX-License-Identifier: Apache-2.0
// Softmax through cuDNN. It has no cross-entropy: loss and gradient come from its logarithms of the probabilities, and
// rows that are not finite are seen to, by kernels of ours.
#include <cudnn.h>

#include "kernels/cudnn_handle.h"
#include "kernels/cudnn_tensor.h"
#include "kernels/softmax_xent/softmax_rows.h"
#include "kernels/softmax_xent/softmax_xent_impl.h"

namespace lockstep::cudnn {
namespace {

// The logarithms of the probabilities. A NaN spoils its row in cuDNN as well, but minus infinity does not. In place
// that must be said before, or the logits are gone; elsewhere behind, as the logits are not ours to write.
absl::Status log_softmax(const KernelContext& ctx, int64_t N, int C, const float* logits, float* log_p) {
  LOCKSTEP_ASSIGN_OR_RETURN(const CudnnTensor tensor, cudnn_tensor(N, 1, 1, C));
  LOCKSTEP_ASSIGN_OR_RETURN(const CudnnUse use, CudnnUse::on(ctx.device->stream));
  if (log_p == logits) LOCKSTEP_RETURN_IF_ERROR(cuda::spoil_rows(*ctx.device, N, C, logits, log_p));
  const float one = 1, zero = 0;
  LOCKSTEP_CUDNN_RETURN_IF_ERROR(cudnnSoftmaxForward(use.handle(), CUDNN_SOFTMAX_LOG, CUDNN_SOFTMAX_MODE_INSTANCE, &one,
                                                     tensor.get(), logits, &zero, tensor.get(), log_p));
  return log_p == logits ? absl::OkStatus() : cuda::spoil_rows(*ctx.device, N, C, logits, log_p);
}

}  // namespace

int64_t softmax_xent_workspace_bytes(const KernelContext&, int64_t N, int C) {
  return N * C * static_cast<int64_t>(sizeof(float));
}

absl::Status softmax_xent(const KernelContext& ctx, const SoftmaxXentParams& p, const float* logits,
                          const int32_t* labels, float* loss, float* probabilities, float* grad_logits) {
  float* log_p = grad_logits != nullptr ? grad_logits : probabilities;
  if (log_p == nullptr) {  // the loss alone
    if (static_cast<int64_t>(ctx.device->workspace_bytes) < softmax_xent_workspace_bytes(ctx, p.N, p.C)) {
      return absl::InternalError("softmax_xent: the workspace is smaller than softmax_xent_workspace_bytes() says");
    }
    log_p = static_cast<float*>(ctx.device->workspace);
  }
  const absl::Status status = log_softmax(ctx, p.N, p.C, logits, log_p);
  if (absl::IsUnimplemented(status)) {
    return cuda::softmax_xent(ctx, p, logits, labels, loss, probabilities, grad_logits);
  }
  LOCKSTEP_RETURN_IF_ERROR(status);
  return cuda::finish_softmax_xent(*ctx.device, p, log_p, labels, loss, probabilities, grad_logits);
}

// By way of the logarithms, too: the same bits as the probabilities of softmax_xent.
absl::Status softmax(const KernelContext& ctx, int64_t N, int C, const float* logits, float* probabilities) {
  const absl::Status status = log_softmax(ctx, N, C, logits, probabilities);
  if (absl::IsUnimplemented(status)) return cuda::softmax(ctx, N, C, logits, probabilities);
  LOCKSTEP_RETURN_IF_ERROR(status);
  return cuda::finish_softmax_xent(*ctx.device, {.N = N, .C = C}, probabilities, nullptr, nullptr, probabilities,
                                   nullptr);
}

}  // namespace lockstep::cudnn
