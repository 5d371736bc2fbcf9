// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_ops_cuda.h"

namespace lockstep {

const DeviceOps& cuda_device_ops() {
  static const DeviceOps ops{
      .pool2d_max_fwd = cuda::pool2d_max_fwd,
      .pool2d_max_bwd = cuda::pool2d_max_bwd,
      .dropout_fwd = cuda::dropout_fwd,
      .dropout_bwd = cuda::dropout_bwd,
      .softmax_xent = cuda::softmax_xent,
      .softmax = cuda::softmax,
      .adam_update = cuda::adam_update,
      .scale_images = cuda::scale_images,
  };
  return ops;
}

}  // namespace lockstep
