// SPDX-License-Identifier: Apache-2.0
// The forward max-pool through cuDNN, which does not tell where the maximum was: a kernel of ours looks for it. cuDNN
// pads alike on both sides; windows that are padded unevenly run on our own kernel. So does backward: cuDNN's wants the
// pool's input and output back, which our contract does not keep, and would look for the maxima again.
#include <cudnn.h>

#include "kernels/cudnn_handle.h"
#include "kernels/cudnn_tensor.h"
#include "kernels/pool2d/pool2d_argmax.h"
#include "kernels/pool2d/pool2d_impl.h"

namespace lockstep::cudnn {
namespace {

using Pooling = CudnnDescriptor<cudnnPoolingDescriptor_t, cudnnCreatePoolingDescriptor, cudnnDestroyPoolingDescriptor>;

absl::Status maxima(const KernelContext& ctx, const Pool2dParams& p, const float* x, float* y) {
  const WindowDim h = p.dim_h(), w = p.dim_w();
  if (h.pad_before != h.pad_after || w.pad_before != w.pad_after) {
    return absl::UnimplementedError("uneven padding");
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const CudnnTensor in, cudnn_tensor(p.N, p.H, p.W, p.C));
  LOCKSTEP_ASSIGN_OR_RETURN(const CudnnTensor out, cudnn_tensor(p.N, h.out, w.out, p.C));
  LOCKSTEP_ASSIGN_OR_RETURN(const Pooling pooling, Pooling::create());
  LOCKSTEP_CUDNN_RETURN_IF_ERROR(cudnnSetPooling2dDescriptor(pooling.get(), CUDNN_POOLING_MAX, CUDNN_PROPAGATE_NAN,
                                                             p.window, p.window, h.pad_before, w.pad_before, p.stride,
                                                             p.stride));
  LOCKSTEP_ASSIGN_OR_RETURN(const CudnnUse use, CudnnUse::on(ctx.device->stream));
  const float one = 1, zero = 0;
  return cudnn_status(cudnnPoolingForward(use.handle(), pooling.get(), &one, in.get(), x, &zero, out.get(), y),
                      "cudnnPoolingForward");
}

}  // namespace

absl::Status pool2d_max_fwd(const KernelContext& ctx, const Pool2dParams& p, const float* x, float* y,
                            uint8_t* argmax) {
  const absl::Status status = maxima(ctx, p, x, y);
  if (absl::IsUnimplemented(status)) return cuda::pool2d_max_fwd(ctx, p, x, y, argmax);
  LOCKSTEP_RETURN_IF_ERROR(status);
  return cuda::pool2d_argmax(*ctx.device, p, x, y, argmax);
}

absl::Status pool2d_max_bwd(const KernelContext& ctx, const Pool2dParams& p, const uint8_t* argmax, const float* grad_y,
                            float* grad_x) {
  return cuda::pool2d_max_bwd(ctx, p, argmax, grad_y, grad_x);
}

}  // namespace lockstep::cudnn
