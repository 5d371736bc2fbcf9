// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "kernels/pool2d/pool2d_impl.h"

namespace lockstep::ref {
namespace {

struct Maximum {
  float value = 0;
  int position = -1;  // row * window + column; -1 before the first
};

// Over the window of output (oh, ow), channel c of one image (H, W, C). A NaN beats every number.
Maximum window_maximum(const Pool2dParams& p, const float* image, int oh, int ow, int c) {
  Maximum best;
  for (int r = 0; r < p.window; ++r) {
    const int h = oh * p.stride + r - p.dim_h().pad_before;
    if (h < 0 || h >= p.H) continue;
    for (int s = 0; s < p.window; ++s) {
      const int w = ow * p.stride + s - p.dim_w().pad_before;
      if (w < 0 || w >= p.W) continue;
      const float value = image[(int64_t{h} * p.W + w) * p.C + c];
      const bool wins = best.position < 0 || value > best.value || (std::isnan(value) && !std::isnan(best.value));
      if (wins) best = {value, r * p.window + s};
    }
  }
  return best;
}

}  // namespace

absl::Status pool2d_max_fwd(const KernelContext&, const Pool2dParams& p, const float* x, float* y, uint8_t* argmax) {
  const int OH = p.OH(), OW = p.OW();
  for (int64_t n = 0; n < p.N; ++n) {
    const float* image = x + n * p.H * p.W * p.C;
    for (int oh = 0; oh < OH; ++oh) {
      for (int ow = 0; ow < OW; ++ow) {
        for (int c = 0; c < p.C; ++c) {
          const int64_t out = ((n * OH + oh) * OW + ow) * p.C + c;
          const Maximum best = window_maximum(p, image, oh, ow, c);
          y[out] = best.value;
          argmax[out] = static_cast<uint8_t>(best.position);
        }
      }
    }
  }
  return absl::OkStatus();
}

absl::Status pool2d_max_bwd(const KernelContext&, const Pool2dParams& p, const uint8_t* argmax, const float* grad_y,
                            float* grad_x) {
  const int OH = p.OH(), OW = p.OW();
  std::fill_n(grad_x, p.N * p.H * p.W * p.C, 0.0f);
  for (int64_t n = 0; n < p.N; ++n) {
    for (int oh = 0; oh < OH; ++oh) {
      for (int ow = 0; ow < OW; ++ow) {
        for (int c = 0; c < p.C; ++c) {
          const int64_t out = ((n * OH + oh) * OW + ow) * p.C + c;
          const int h = oh * p.stride + argmax[out] / p.window - p.dim_h().pad_before;
          const int w = ow * p.stride + argmax[out] % p.window - p.dim_w().pad_before;
          // In float: the contract fixes the order of these few additions, so every backend rounds alike.
          grad_x[((n * p.H + h) * p.W + w) * p.C + c] += grad_y[out];
        }
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace lockstep::ref
