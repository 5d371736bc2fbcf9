// SPDX-License-Identifier: Apache-2.0
// 2-D convolution (cross-correlation, as TensorFlow's Conv2D) with bias and optional ReLU, alone or fused with the
// max-pool that follows it.
//
// Layouts: activations NHWC, filters HWIO (R, S, C, K), all float32 and dense. Buffers must not overlap. Nothing needs
// to be aligned. N = 0 is allowed and does nothing but write zero filter gradients. Thread-safe: no state.
// Errors: InvalidArgument for sizes that make no sense; then no output is touched.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "kernels/backend.h"
#include "kernels/grad_slices.h"
#include "kernels/pool2d/pool2d.h"
#include "kernels/window.h"

namespace lockstep {

struct Conv2dParams {
  int64_t N = 0;            // examples
  int H = 0, W = 0, C = 0;  // input height, width, channels
  int K = 0;                // filters
  int R = 0, S = 0;         // filter height, width
  int stride = 1;           // both directions
  Padding padding = Padding::kSame;
  bool relu = false;  // y = max(0, conv + b); backward then masks grad_y where y <= 0

  WindowDim dim_h() const { return window_dim(H, R, stride, padding); }
  WindowDim dim_w() const { return window_dim(W, S, stride, padding); }
  int OH() const { return dim_h().out; }
  int OW() const { return dim_w().out; }
  int64_t filter_size() const { return int64_t{R} * S * C * K; }
  // 2 * multiply-adds of one pass (forward, or one of the two gradients).
  double flops() const { return 2.0 * static_cast<double>(N) * OH() * OW() * R * S * C * K; }
};

// y[n,oh,ow,k] = b[k] + sum_{r,s,c} x[n, oh*stride + r - pad_h, ow*stride + s - pad_w, c] * w[r,s,c,k], zero outside.
absl::Status conv2d_fwd(const KernelContext& ctx, const Conv2dParams& p,
                        const float* x,  // (N, H, W, C)
                        const float* w,  // (R, S, C, K)
                        const float* b,  // (K)
                        float* y);       // (N, OH, OW, K)

// Filters prepared once for many forward passes, as conv2d_fwd prepares them in each pass: conv2d_packed_floats floats,
// or 0 where the backend prepares nothing. The layout is of this process and machine. The `_packed` operators give the
// bits of those that take w. Errors: also InvalidArgument where there is no layout.
int64_t conv2d_packed_floats(const KernelContext& ctx, const Conv2dParams& p);
// Images, at most, that the `_packed` operators take at once on one thread; 0 where there is no layout.
int conv2d_packed_group(const KernelContext& ctx, const Conv2dParams& p);
absl::Status conv2d_pack(const KernelContext& ctx, const Conv2dParams& p, const float* w, float* packed);
absl::Status conv2d_fwd_packed(const KernelContext& ctx, const Conv2dParams& p, const float* x, const float* packed,
                               const float* b, float* y);

// grad_x = gradient with respect to x. y is read only when p.relu.
absl::Status conv2d_bwd_data(const KernelContext& ctx, const Conv2dParams& p,
                             const float* w,       // (R, S, C, K)
                             const float* y,       // (N, OH, OW, K) output of conv2d_fwd; may be null without ReLU
                             const float* grad_y,  // (N, OH, OW, K)
                             float* grad_x);       // (N, H, W, C), overwritten

// Gradients with respect to w and b: one partial sum per subtree of `slices`, overwritten. slices covers the N
// examples.
absl::Status conv2d_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const GradSlices& slices,
                               const float* x,       // (N, H, W, C)
                               const float* y,       // as in conv2d_bwd_data
                               const float* grad_y,  // (N, OH, OW, K)
                               GradOutput grad_w,    // per subtree (R, S, C, K)
                               GradOutput grad_b);   // per subtree (K)

// Both gradients: the bits of the two above, which share their work where they can.
absl::Status conv2d_bwd(const KernelContext& ctx, const Conv2dParams& p, const GradSlices& slices, const float* x,
                        const float* w, const float* y, const float* grad_y, GradOutput grad_w, GradOutput grad_b,
                        float* grad_x);

// Fused conv2d_fwd + pool2d_max_fwd: the full-size activation never leaves the cache. `pool` must describe a pool whose
// input is this convolution's output (pool.N/H/W/C are checked).
absl::Status conv2d_pool_fwd(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool, const float* x,
                             const float* w, const float* b,
                             float* y,          // (N, POH, POW, K) pooled
                             uint8_t* argmax);  // (N, POH, POW, K) as pool2d_max_fwd writes it
// As conv2d_fwd_packed, for inference: without argmax.
absl::Status conv2d_pool_fwd_packed(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                    const float* x, const float* packed, const float* b, float* y);
absl::Status conv2d_pool_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                  const float* w,
                                  const float* y,         // (N, POH, POW, K) pooled output
                                  const uint8_t* argmax,  // (N, POH, POW, K)
                                  const float* grad_y,    // (N, POH, POW, K)
                                  float* grad_x);         // (N, H, W, C)
// y, argmax and grad_y as in conv2d_pool_bwd_data, the gradients as in conv2d_bwd_filter.
absl::Status conv2d_pool_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                    const GradSlices& slices, const float* x, const float* y, const uint8_t* argmax,
                                    const float* grad_y, GradOutput grad_w, GradOutput grad_b);
// As conv2d_bwd.
absl::Status conv2d_pool_bwd(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                             const GradSlices& slices, const float* x, const float* w, const float* y,
                             const uint8_t* argmax, const float* grad_y, GradOutput grad_w, GradOutput grad_b,
                             float* grad_x);

}  // namespace lockstep
