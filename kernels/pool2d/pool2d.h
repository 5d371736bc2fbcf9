// SPDX-License-Identifier: Apache-2.0
// Max-pooling, NHWC float32, windows as TensorFlow's MaxPool (padding positions never win).
// Buffers must not overlap; no alignment needed; thread-safe. InvalidArgument for sizes that make no sense.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "kernels/backend.h"
#include "kernels/window.h"

namespace lockstep {

struct Pool2dParams {
  int64_t N = 0;
  int H = 0, W = 0, C = 0;
  int window = 2;  // square; window * window <= 256, as argmax is a byte
  int stride = 2;
  Padding padding = Padding::kValid;

  WindowDim dim_h() const { return window_dim(H, window, stride, padding); }
  WindowDim dim_w() const { return window_dim(W, window, stride, padding); }
  int OH() const { return dim_h().out; }
  int OW() const { return dim_w().out; }
};

// y = maximum of each window; argmax = row * window + column of the first position (row-major) that holds it. A NaN in
// the window makes y NaN.
absl::Status pool2d_max_fwd(const KernelContext& ctx, const Pool2dParams& p,
                            const float* x,    // (N, H, W, C)
                            float* y,          // (N, OH, OW, C)
                            uint8_t* argmax);  // (N, OH, OW, C)

// grad_x[position of the maximum] += grad_y, zero elsewhere; overlapping windows add in row-major order of the output.
absl::Status pool2d_max_bwd(const KernelContext& ctx, const Pool2dParams& p,
                            const uint8_t* argmax,  // (N, OH, OW, C)
                            const float* grad_y,    // (N, OH, OW, C)
                            float* grad_x);         // (N, H, W, C), overwritten

}  // namespace lockstep
