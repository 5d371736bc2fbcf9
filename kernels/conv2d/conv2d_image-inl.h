// SPDX-License-Identifier: Apache-2.0
// One image of a convolution: zero padding, and the gradient spread back over the positions in front of ReLU and pool.
// Included once per instruction set.
#if defined(LOCKSTEP_KERNELS_CONV2D_IMAGE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_KERNELS_CONV2D_IMAGE_INL_H_
#undef LOCKSTEP_KERNELS_CONV2D_IMAGE_INL_H_
#else
#define LOCKSTEP_KERNELS_CONV2D_IMAGE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "kernels/conv2d/conv2d_algorithm.h"
#include "kernels/gemm-inl.h"
#include "kernels/pool2d/pool2d-inl.h"
#include "kernels/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

// x (H, W, C) into (height, width, C), zero around: the first pixel goes to (pad_h, pad_w), what does not fit is cut.
HWY_INLINE void pad_image(const Conv2dParams& p, int height, int width, const float* x, float* out) {
  const int pad_h = p.dim_h().pad_before, pad_w = p.dim_w().pad_before;
  const int rows = std::min(p.H, height - pad_h), columns = std::min(p.W, width - pad_w);
  const int64_t row = int64_t{width} * p.C;
  std::fill_n(out, height * row, 0.0f);
  for (int h = 0; h < rows; ++h) {
    std::copy_n(x + int64_t{h} * p.W * p.C, int64_t{columns} * p.C, out + (h + pad_h) * row + int64_t{pad_w} * p.C);
  }
}

// The gradient in front of bias and ReLU of one image, written where `out` says; `out` is zero before.
HWY_INLINE void spread_grad(const Conv2dParams& p, const Pool2dParams* pool, const ConvGradSource& grad,
                            const PoolGradTarget& out) {
  const float* y = p.relu ? grad.y : nullptr;
  if (pool != nullptr) return pool_image_bwd(*pool, y, grad.argmax, grad.grad_y, out);
  const int OW = p.OW();
  for (int oh = 0; oh < p.OH(); ++oh) {
    for (int ow = 0; ow < OW; ++ow) {
      const ptrdiff_t at = (ptrdiff_t{oh} * OW + ow) * p.K;
      float* to = out.base + oh * out.row + ow * out.column;
      for (int k = 0; k < p.K; ++k) to[k] = y != nullptr && y[at + k] <= 0 ? 0.0f : grad.grad_y[at + k];
    }
  }
}

// The gradient of one image laid out (height, width, K) so that a stride-1 convolution with the turned filter gives the
// input gradient: output row oh goes to row oh * stride + R - 1 - pad; input row h then reads rows h .. h + R - 1.
HWY_INLINE void spread_grad_for_data(const Conv2dParams& p, const Pool2dParams* pool, const ConvGradSource& grad,
                                     int height, int width, float* out) {
  const ptrdiff_t row = ptrdiff_t{width} * p.K;
  std::fill_n(out, height * row, 0.0f);
  const int h0 = p.R - 1 - p.dim_h().pad_before, w0 = p.S - 1 - p.dim_w().pad_before;
  spread_grad(p, pool, grad, {out + h0 * row + ptrdiff_t{w0} * p.K, p.stride * row, ptrdiff_t{p.stride} * p.K});
}

// bias[k] += sum over OH x OW positions of grad, whose rows are `row` floats apart and positions Kp; Kp is a multiple
// of the vector length. Positions are added one by one in row-major order.
HWY_INLINE void add_bias_grad(const Conv2dParams& p, const float* grad, ptrdiff_t row, int Kp, float* bias) {
  const Floats d;
  HWY_ALIGN float lane[kLanes];
  for (int k = 0; k < p.K; k += kLanes) {
    const int columns = std::min(kLanes, p.K - k);
    std::fill_n(lane, kLanes, 0.0f);
    std::copy_n(bias + k, columns, lane);
    FloatVec sum = hn::Load(d, lane);
    for (int oh = 0; oh < p.OH(); ++oh) {
      const float* from = grad + oh * row + k;
      for (int ow = 0; ow < p.OW(); ++ow, from += Kp) sum = hn::Add(sum, hn::LoadU(d, from));
    }
    hn::Store(sum, d, lane);
    std::copy_n(lane, columns, bias + k);
  }
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_KERNELS_CONV2D_IMAGE_INL_H_
