// SPDX-License-Identifier: Apache-2.0
// cuDNN's convolutions, max-pool and softmax as a table of operators; the others are our own kernels.
#pragma once

#include "kernels/device_ops.h"

namespace lockstep {

const DeviceOps& cudnn_device_ops();

}  // namespace lockstep
