// SPDX-License-Identifier: Apache-2.0
// Direct convolution: each image is copied once into a zero-padded buffer that stays in the second-level cache; output
// rows are register tiles of gemm-inl.h over it, or, of a drawing, of conv2d_sparse-inl.h; they are pooled as they
// come. What one image needs never leaves the cache: the full-size activation in front of a fused pool, or the gradient
// spread out again behind it.
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv2d/conv2d_direct_simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After foreach_target.h:
#include <algorithm>
#include <optional>

#include "kernels/conv2d/conv2d_algorithm.h"
#include "kernels/conv2d/conv2d_image-inl.h"
#include "kernels/conv2d/conv2d_sparse-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

// Height and width of the input as far as windows reach, padding included.
struct PaddedInput {
  int height, width;
  explicit PaddedInput(const Conv2dParams& p)
      : height((p.OH() - 1) * p.stride + p.R), width((p.OW() - 1) * p.stride + p.S) {}
};

const float* direct_pad(const Conv2dParams& p, const PaddedInput& padded, const float* x) {
  if (padded.height == p.H && padded.width == p.W) return x;
  float* out = scratch(kInputSlot, static_cast<size_t>(int64_t{padded.height} * padded.width * p.C));
  pad_image(p, padded.height, padded.width, x, out);
  return out;
}

// Forward: (R, S, C, K) with columns padded to whole vectors. Turned: by 180 degrees and transposed, (R, S, K, C).
int64_t direct_packed_floats(const Conv2dParams& p, bool turned) {
  const int64_t columns = turned ? round_up(p.C, kLanes) : round_up(p.K, kLanes);
  return int64_t{p.R} * p.S * (turned ? p.K : p.C) * columns;
}

int direct_pack_units(const Conv2dParams& p, bool) { return p.R * p.S; }

void direct_pack(const Conv2dParams& p, bool turned, const float* w, int rs, float* packed) {
  const float* from = w + ptrdiff_t{rs} * p.C * p.K;
  if (turned) {
    const int Cp = round_up(p.C, kLanes);
    float* to = packed + (ptrdiff_t{p.R} * p.S - 1 - rs) * p.K * Cp;
    for (int k = 0; k < p.K; ++k, to += Cp) {
      for (int c = 0; c < p.C; ++c) to[c] = from[ptrdiff_t{c} * p.K + k];
      std::fill(to + p.C, to + Cp, 0.0f);
    }
    return;
  }
  const int Kp = round_up(p.K, kLanes);
  float* to = packed + ptrdiff_t{rs} * p.C * Kp;
  for (int c = 0; c < p.C; ++c, from += p.K, to += Kp) {
    std::copy_n(from, p.K, to);
    std::fill(to + p.K, to + Kp, 0.0f);
  }
}

// Convolves one image row by row.
class DirectConv {
 public:
  DirectConv(const Conv2dParams& p, const float* x, const float* w, const float* b)
      : p_(p), padded_(p), in_(direct_pad(p, padded_, x)), w_(w), b_(b) {
    const int Kp = round_up(p.K, kLanes);
    const ptrdiff_t row = ptrdiff_t{padded_.width} * p.C;
    loop_ = {.KO = p.R,
             .KI = p.S * p.C,
             .a_m = ptrdiff_t{p.stride} * p.C,
             .a_o = row,
             .a_i = 1,
             .b_o = ptrdiff_t{p.S} * p.C * Kp,
             .b_i = Kp};
    if (!can_skip_zeros(p, padded_.height, padded_.width, w)) return;
    sparse_.emplace(p, in_, padded_.height, padded_.width);
    if (!sparse_->is_sparse_enough()) sparse_.reset();
  }

  // Row oh of y (OH, OW, K).
  HWY_INLINE void row(int oh, float* y) const {
    if (sparse_) return sparse_conv_row(p_, *sparse_, oh, in_, w_, b_, y);
    const float* const in = in_ + oh * p_.stride * loop_.a_o;
    float* const out = y + ptrdiff_t{oh} * p_.OW() * p_.K;
    for (int k = 0; k < p_.K; k += kPanel) {
      const int columns = std::min(kPanel, p_.K - k);
      HWY_ALIGN float bias[kPanel] = {};
      std::copy_n(b_ + k, columns, bias);
      gemm_panel(loop_, {.bias = bias, .relu = p_.relu}, p_.OW(), columns, in, w_ + k, out + k, p_.K);
    }
  }

 private:
  const Conv2dParams& p_;
  const PaddedInput padded_;
  const float *in_, *w_, *b_;
  GemmLoop loop_;
  std::optional<SparseImage> sparse_;  // where skipping taps pays
};

void direct_fwd(const Conv2dParams& p, const Pool2dParams* pool, int /*images*/, const float* x, const float* w,
                const float* b, float* y, uint8_t* argmax) {
  const DirectConv conv(p, x, w, b);
  if (pool == nullptr) {
    for (int oh = 0; oh < p.OH(); ++oh) conv.row(oh, y);
    return;
  }
  // Rows are pooled while they are in the first-level cache.
  float* full = scratch(kOutputSlot, static_cast<size_t>(int64_t{p.OH()} * p.OW() * p.K));
  int done = 0;
  for (int oh = 0; oh < pool->OH(); ++oh) {
    for (const int end = pool_rows_end(*pool, oh); done < end; ++done) conv.row(done, full);
    pool_row_fwd(*pool, oh, full, y, argmax);
  }
}

void direct_bwd_data(const Conv2dParams& p, const Pool2dParams* pool, int /*images*/, const float* turned,
                     const ConvGradSource& grad, float* grad_x) {
  const int height = p.H + p.R - 1, width = p.W + p.S - 1, Cp = round_up(p.C, kLanes);
  const ptrdiff_t row = ptrdiff_t{width} * p.K;
  float* spread = scratch(kOutputSlot, static_cast<size_t>(height * row));
  spread_grad_for_data(p, pool, grad, height, width, spread);
  const GemmLoop loop{
      .KO = p.R, .KI = p.S * p.K, .a_m = p.K, .a_o = row, .a_i = 1, .b_o = ptrdiff_t{p.S} * p.K * Cp, .b_i = Cp};
  for (int c = 0; c < p.C; c += kPanel) {
    for (int h = 0; h < p.H; ++h) {
      gemm_panel(loop, GemmEnds{}, p.W, std::min(kPanel, p.C - c), spread + h * row, turned + c,
                 grad_x + ptrdiff_t{h} * p.W * p.C + c, p.C);
    }
  }
}

// Unit = filter row * panels + column panel.
int direct_filter_units(const Conv2dParams& p) { return p.R * ((p.K + kPanel - 1) / kPanel); }

void direct_bwd_filter(const Conv2dParams& p, const Pool2dParams* pool, const ConvFilterPart& part, int64_t images,
                       const float* x, const ConvGradSource& grad, float* grad_w, float* grad_b, const ConvDataGrad*) {
  const PaddedInput padded(p);
  const int Kp = round_up(p.K, kLanes), OH = p.OH(), OW = p.OW(), panels = (p.K + kPanel - 1) / kPanel;
  const ptrdiff_t row = ptrdiff_t{padded.width} * p.C, grad_row = ptrdiff_t{OW} * Kp;
  const GemmLoop loop{.KO = OH,
                      .KI = OW,
                      .a_m = 1,
                      .a_o = p.stride * row,
                      .a_i = ptrdiff_t{p.stride} * p.C,
                      .b_o = grad_row,
                      .b_i = Kp};
  if (part.begin == 0) std::fill_n(grad_b, p.K, 0.0f);
  // The first image overwrites; without one, the first part writes the zeros of all.
  if (images == 0 && part.begin == 0) std::fill_n(grad_w, p.filter_size(), 0.0f);
  for (int64_t n = 0; n < images; ++n) {
    const float* in = direct_pad(p, padded, x + n * p.H * p.W * p.C);
    float* compact = scratch(kOutputSlot, static_cast<size_t>(OH * grad_row));
    std::fill_n(compact, OH * grad_row, 0.0f);
    spread_grad(p, pool, grad_of_image(p, pool, grad, n), {compact, grad_row, Kp});
    for (int unit = part.begin; unit < part.end; ++unit) {
      const int r = unit / panels, k = unit % panels * kPanel;
      gemm_panel(loop, GemmEnds{.accumulate = n > 0}, p.S * p.C, std::min(kPanel, p.K - k), in + r * row, compact + k,
                 grad_w + ptrdiff_t{r} * p.S * p.C * p.K + k, p.K);
    }
    if (part.begin == 0) add_bias_grad(p, compact, grad_row, Kp, grad_b);
  }
}

ConvAlgorithm direct_algorithm() {
  return {1,          direct_packed_floats, direct_pack_units,   direct_pack,
          direct_fwd, direct_bwd_data,      direct_filter_units, direct_bwd_filter,
          false};
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(direct_algorithm);

ConvAlgorithm conv_direct() { return HWY_DYNAMIC_DISPATCH(direct_algorithm)(); }

}  // namespace lockstep
#endif  // HWY_ONCE
