// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_ops_cuda.h"

namespace lockstep {

const DeviceOps& cuda_device_ops() {
  static const DeviceOps ops{
      .conv2d_fwd = cuda::conv2d_fwd,
      .conv2d_bwd_data = cuda::conv2d_bwd_data,
      .conv2d_bwd_filter = cuda::conv2d_bwd_filter,
      .conv2d_pool_fwd = cuda::conv2d_pool_fwd,
      .conv2d_pool_bwd_data = cuda::conv2d_pool_bwd_data,
      .conv2d_pool_bwd_filter = cuda::conv2d_pool_bwd_filter,
      .pool2d_max_fwd = cuda::pool2d_max_fwd,
      .pool2d_max_bwd = cuda::pool2d_max_bwd,
      .dense_fwd = cuda::dense_fwd,
      .dense_bwd_data = cuda::dense_bwd_data,
      .dense_bwd_filter = cuda::dense_bwd_filter,
      .dropout_fwd = cuda::dropout_fwd,
      .dropout_bwd = cuda::dropout_bwd,
      .softmax_xent = cuda::softmax_xent,
      .softmax = cuda::softmax,
      .adam_update = cuda::adam_update,
      .scale_images = cuda::scale_images,
      .conv2d_workspace_bytes = cuda::conv2d_workspace_bytes,
      .dense_workspace_bytes = cuda::dense_workspace_bytes,
  };
  return ops;
}

}  // namespace lockstep
