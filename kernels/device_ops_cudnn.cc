// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_ops_cudnn.h"

#include "kernels/device_ops_cuda.h"

namespace lockstep {

const DeviceOps& cudnn_device_ops() {
  static const DeviceOps ops = [] {
    DeviceOps made = cuda_device_ops();
    made.conv2d_fwd = cudnn::conv2d_fwd;
    made.conv2d_bwd_data = cudnn::conv2d_bwd_data;
    made.conv2d_bwd_filter = cudnn::conv2d_bwd_filter;
    made.conv2d_pool_fwd = cudnn::conv2d_pool_fwd;
    made.conv2d_pool_bwd_data = cudnn::conv2d_pool_bwd_data;
    made.conv2d_pool_bwd_filter = cudnn::conv2d_pool_bwd_filter;
    made.conv2d_workspace_bytes = cudnn::conv2d_workspace_bytes;
    made.pool2d_max_fwd = cudnn::pool2d_max_fwd;
    made.pool2d_max_bwd = cudnn::pool2d_max_bwd;
    made.softmax_xent = cudnn::softmax_xent;
    made.softmax = cudnn::softmax;
    made.softmax_xent_workspace_bytes = cudnn::softmax_xent_workspace_bytes;
    return made;
  }();
  return ops;
}

}  // namespace lockstep
