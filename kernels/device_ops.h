// SPDX-License-Identifier: Apache-2.0
// The operators of a GPU backend as a table: all that the dispatchers (<op>.cc) know of the CUDA library, which is
// opened at run time, and of the emulator, which is linked. Contracts as in the operators' headers, arguments already
// checked, batches not empty. Pointers are device memory; work is enqueued on ctx.device->stream.
#pragma once

#include "kernels/adam/adam_impl.h"
#include "kernels/conv2d/conv2d_impl.h"
#include "kernels/dense/dense_impl.h"
#include "kernels/dropout/dropout_impl.h"
#include "kernels/images/images_impl.h"
#include "kernels/pool2d/pool2d_impl.h"
#include "kernels/softmax_xent/softmax_xent_impl.h"

namespace lockstep {

struct DeviceOps {
  decltype(ref::conv2d_fwd)* conv2d_fwd = nullptr;
  decltype(ref::conv2d_bwd_data)* conv2d_bwd_data = nullptr;
  decltype(ref::conv2d_bwd_filter)* conv2d_bwd_filter = nullptr;
  decltype(ref::conv2d_pool_fwd)* conv2d_pool_fwd = nullptr;
  decltype(ref::conv2d_pool_bwd_data)* conv2d_pool_bwd_data = nullptr;
  decltype(ref::conv2d_pool_bwd_filter)* conv2d_pool_bwd_filter = nullptr;
  decltype(ref::pool2d_max_fwd)* pool2d_max_fwd = nullptr;
  decltype(ref::pool2d_max_bwd)* pool2d_max_bwd = nullptr;
  decltype(ref::dense_fwd)* dense_fwd = nullptr;
  decltype(ref::dense_bwd_data)* dense_bwd_data = nullptr;
  decltype(ref::dense_bwd_filter)* dense_bwd_filter = nullptr;
  decltype(ref::dropout_fwd)* dropout_fwd = nullptr;
  decltype(ref::dropout_bwd)* dropout_bwd = nullptr;
  decltype(ref::softmax_xent)* softmax_xent = nullptr;
  decltype(ref::softmax)* softmax = nullptr;
  decltype(ref::adam_update)* adam_update = nullptr;
  decltype(ref::scale_images)* scale_images = nullptr;

  // Bytes of DeviceContext::workspace that the operators of these names need at most for these sizes (`pool` null:
  // without the fused pool; `slices` covers p.N); a null function: none. ctx tells what the choice of a kernel depends
  // on.
  int64_t (*conv2d_workspace_bytes)(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams* pool,
                                    const GradSlices& slices) = nullptr;
  int64_t (*dense_workspace_bytes)(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices) = nullptr;
  int64_t (*softmax_xent_workspace_bytes)(const KernelContext& ctx, int64_t N, int C) = nullptr;
};

// A filter gradient and the floats of one of its partial sums.
struct SizedGrad {
  GradOutput grad;
  int64_t size = 0;
};

// The gradients of an empty batch.
absl::Status zero_gradients(const KernelContext& ctx, const GradSlices& slices, const SizedGrad& grad_w,
                            const SizedGrad& grad_b);

}  // namespace lockstep
