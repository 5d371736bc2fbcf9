// SPDX-License-Identifier: Apache-2.0
// The arg-max that cuDNN's max-pool does not tell.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "kernels/backend.h"
#include "kernels/pool2d/pool2d.h"

namespace lockstep::cuda {

// argmax of pool2d_max_fwd from its input and its output, which must be a maximum of each window (NaN where the window
// has one). Enqueues on the device context's stream.
absl::Status pool2d_argmax(const DeviceContext& device, const Pool2dParams& p,
                           const float* x,    // (N, H, W, C)
                           const float* y,    // (N, OH, OW, C)
                           uint8_t* argmax);  // (N, OH, OW, C)

}  // namespace lockstep::cuda
