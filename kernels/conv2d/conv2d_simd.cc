// SPDX-License-Identifier: Apache-2.0
// Direct convolution on the CPU: each image is copied once into a zero-padded buffer that stays in the second-level
// cache; output rows are register tiles of gemm-inl.h over it. What one image needs never leaves the cache: the
// full-size activation in front of a fused pool, or the gradient spread out again behind it.
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv2d/conv2d_simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <vector>

#include "kernels/conv2d/conv2d_image.h"
#include "kernels/conv2d/conv2d_impl.h"
#include "kernels/gemm-inl.h"
#include "kernels/pool2d/pool2d-inl.h"
#include "kernels/scratch.h"
#include "kernels/tree_sum-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

int conv_lanes() { return kLanes; }

// Copies rows of `from` columns into rows of `to` columns, zero behind: vector loads may read whole vectors.
const float* pad_columns(const float* x, int64_t rows, int from, int to, int slot) {
  if (from == to) return x;
  float* padded = scratch(slot, static_cast<size_t>(rows * to));
  for (int64_t r = 0; r < rows; ++r) {
    std::copy_n(x + r * from, from, padded + r * to);
    std::fill_n(padded + r * to + from, to - from, 0.0f);
  }
  return padded;
}

// Height and width of the input as far as windows reach, padding included.
struct PaddedInput {
  int height, width;
  explicit PaddedInput(const Conv2dParams& p)
      : height((p.OH() - 1) * p.stride + p.R), width((p.OW() - 1) * p.stride + p.S) {}
};

const float* pad_image(const Conv2dParams& p, const PaddedInput& padded, const float* x) {
  if (padded.height == p.H && padded.width == p.W) return x;
  const int pad_h = p.dim_h().pad_before, pad_w = p.dim_w().pad_before;
  const int rows = std::min(p.H, padded.height - pad_h), columns = std::min(p.W, padded.width - pad_w);
  const int64_t row = int64_t{padded.width} * p.C;
  float* out = scratch(kInputSlot, static_cast<size_t>(padded.height * row));
  std::fill_n(out, padded.height * row, 0.0f);
  for (int h = 0; h < rows; ++h) {
    std::copy_n(x + int64_t{h} * p.W * p.C, int64_t{columns} * p.C, out + (h + pad_h) * row + int64_t{pad_w} * p.C);
  }
  return out;
}

// Filter with columns padded to whole vectors: (R, S, C, round_up(K)).
const float* conv_pack_filter(const Conv2dParams& p, const float* w) {
  return pad_columns(w, p.filter_size() / p.K, p.K, round_up(p.K, kLanes), kFilterSlot);
}

void conv_fwd_image_into(const Conv2dParams& p, const float* x, const float* w, const float* b, float* y) {
  const PaddedInput padded(p);
  const float* in = pad_image(p, padded, x);
  const int Kp = round_up(p.K, kLanes), OW = p.OW();
  const float* bias = pad_columns(b, 1, p.K, Kp, kBiasSlot);
  const ptrdiff_t row = ptrdiff_t{padded.width} * p.C;
  const GemmLoop loop{.KO = p.R,
                      .KI = p.S * p.C,
                      .a_m = ptrdiff_t{p.stride} * p.C,
                      .a_o = row,
                      .a_i = 1,
                      .b_o = ptrdiff_t{p.S} * p.C * Kp,
                      .b_i = Kp};
  for (int k = 0; k < p.K; k += kPanel) {
    const GemmEnds ends{.bias = bias + k, .relu = p.relu};
    for (int oh = 0; oh < p.OH(); ++oh) {
      gemm_panel(loop, ends, OW, std::min(kPanel, p.K - k), in + oh * p.stride * row, w + k,
                 y + ptrdiff_t{oh} * OW * p.K + k, p.K);
    }
  }
}

void conv_fwd_image(const Conv2dParams& p, const Pool2dParams* pool, const float* x, const float* w, const float* b,
                    float* y, uint8_t* argmax) {
  if (pool == nullptr) return conv_fwd_image_into(p, x, w, b, y);
  float* full = scratch(kOutputSlot, static_cast<size_t>(int64_t{p.OH()} * p.OW() * p.K));
  conv_fwd_image_into(p, x, w, b, full);
  pool_image_fwd(*pool, full, y, argmax);
}

// The gradient in front of bias and ReLU of one image, written where `out` says; `out` is zero before.
void conv_spread_grad(const Conv2dParams& p, const Pool2dParams* pool, const ConvGradSource& grad,
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

// (R, S, C, K) turned by 180 degrees and transposed to (R, S, K, round_up(C)): the gradient of the input is a stride-1
// convolution with it.
void conv_turn_filter(const Conv2dParams& p, const float* w, int64_t rs, float* turned) {
  const int Cp = round_up(p.C, kLanes);
  const float* from = w + rs * p.C * p.K;
  float* to = turned + (int64_t{p.R} * p.S - 1 - rs) * p.K * Cp;
  for (int k = 0; k < p.K; ++k) {
    for (int c = 0; c < p.C; ++c) to[ptrdiff_t{k} * Cp + c] = from[ptrdiff_t{c} * p.K + k];
    std::fill(to + ptrdiff_t{k} * Cp + p.C, to + ptrdiff_t{k} * Cp + Cp, 0.0f);
  }
}

void conv_bwd_data_image(const Conv2dParams& p, const Pool2dParams* pool, const float* turned,
                         const ConvGradSource& grad, float* grad_x) {
  // Output row oh lands at row oh * stride + R - 1 - pad, so that input row h reads rows h .. h + R - 1.
  const int height = p.H + p.R - 1, width = p.W + p.S - 1, Cp = round_up(p.C, kLanes);
  const ptrdiff_t row = ptrdiff_t{width} * p.K;
  float* spread = scratch(kOutputSlot, static_cast<size_t>(height * row));
  std::fill_n(spread, height * row, 0.0f);
  const int h0 = p.R - 1 - p.dim_h().pad_before, w0 = p.S - 1 - p.dim_w().pad_before;
  conv_spread_grad(p, pool, grad, {spread + h0 * row + ptrdiff_t{w0} * p.K, p.stride * row, ptrdiff_t{p.stride} * p.K});
  const GemmLoop loop{
      .KO = p.R, .KI = p.S * p.K, .a_m = p.K, .a_o = row, .a_i = 1, .b_o = ptrdiff_t{p.S} * p.K * Cp, .b_i = Cp};
  for (int c = 0; c < p.C; c += kPanel) {
    for (int h = 0; h < p.H; ++h) {
      gemm_panel(loop, GemmEnds{}, p.W, std::min(kPanel, p.C - c), spread + h * row, turned + c,
                 grad_x + ptrdiff_t{h} * p.W * p.C + c, p.C);
    }
  }
}

// Adds up the columns of (rows, ld) from `rows` positions into bias[0, K).
void conv_add_bias_grad(const float* grad, int64_t rows, int K, int Kp, float* bias) {
  const Floats d;
  HWY_ALIGN float lane[kLanes];
  for (int k = 0; k < K; k += kLanes) {
    const int columns = std::min(kLanes, K - k);
    std::fill_n(lane, kLanes, 0.0f);
    std::copy_n(bias + k, columns, lane);
    FloatVec sum = hn::Load(d, lane);
    for (int64_t r = 0; r < rows; ++r) sum = hn::Add(sum, hn::LoadU(d, grad + r * Kp + k));
    hn::Store(sum, d, lane);
    std::copy_n(lane, columns, bias + k);
  }
}

// One image's share of the filter gradient for units [begin, end); unit = filter row * panels + column panel.
void conv_bwd_filter_image(const Conv2dParams& p, const Pool2dParams* pool, const ConvFilterPart& part, const float* x,
                           const ConvGradSource& grad, bool first, float* grad_w, float* grad_b) {
  const PaddedInput padded(p);
  const float* in = pad_image(p, padded, x);
  const int Kp = round_up(p.K, kLanes), OH = p.OH(), OW = p.OW(), panels = (p.K + kPanel - 1) / kPanel;
  const int64_t positions = int64_t{OH} * OW;
  float* compact = scratch(kOutputSlot, static_cast<size_t>(positions * Kp));
  std::fill_n(compact, positions * Kp, 0.0f);
  conv_spread_grad(p, pool, grad, {compact, ptrdiff_t{OW} * Kp, Kp});
  const ptrdiff_t row = ptrdiff_t{padded.width} * p.C;
  const GemmLoop loop{.KO = OH,
                      .KI = OW,
                      .a_m = 1,
                      .a_o = p.stride * row,
                      .a_i = ptrdiff_t{p.stride} * p.C,
                      .b_o = ptrdiff_t{OW} * Kp,
                      .b_i = Kp};
  for (int unit = part.begin; unit < part.end; ++unit) {
    const int r = unit / panels, k = unit % panels * kPanel;
    gemm_panel(loop, GemmEnds{.accumulate = !first}, p.S * p.C, std::min(kPanel, p.K - k), in + r * row, compact + k,
               grad_w + ptrdiff_t{r} * p.S * p.C * p.K + k, p.K);
  }
  if (part.begin != 0) return;
  if (first) std::fill_n(grad_b, p.K, 0.0f);
  conv_add_bias_grad(compact, positions, p.K, Kp, grad_b);
}

// Elements [begin, begin + n) of one subtree's sum over its slices' gradients, n <= conv_sum_block().
void conv_sum_slices(int first, int count, const float* slices, int64_t slice_stride, int n, float* out) {
  HWY_ALIGN float stack[kMaxTreeDepth * kSumBlock];
  const std::vector<int> sizes(static_cast<size_t>(count), 1);
  tree_sum_block(
      first, sizes.data(), count, n, [&](int i) { return slices + i * slice_stride; }, stack, out);
}

int conv_sum_block() { return kSumBlock; }

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::simd {

HWY_EXPORT(conv_lanes);
HWY_EXPORT(conv_pack_filter);
HWY_EXPORT(conv_fwd_image);
HWY_EXPORT(conv_turn_filter);
HWY_EXPORT(conv_bwd_data_image);
HWY_EXPORT(conv_bwd_filter_image);
HWY_EXPORT(conv_sum_slices);
HWY_EXPORT(conv_sum_block);

namespace {

absl::Status forward(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams* pool, const float* x,
                     const float* w, const float* b, float* y, uint8_t* argmax) {
  const int64_t in = int64_t{p.H} * p.W * p.C;
  const int64_t out = pool == nullptr ? int64_t{p.OH()} * p.OW() * p.K : int64_t{pool->OH()} * pool->OW() * p.K;
  const float* packed = HWY_DYNAMIC_DISPATCH(conv_pack_filter)(p, w);
  parallel_for(ctx.pool, p.N, [&](int64_t n, int) {
    HWY_DYNAMIC_DISPATCH(conv_fwd_image)
    (p, pool, x + n * in, packed, b, y + n * out, argmax == nullptr ? nullptr : argmax + n * out);
  });
  return absl::OkStatus();
}

// The gradient arriving at one image.
ConvGradSource grad_of_image(const Conv2dParams& p, const Pool2dParams* pool, const ConvGradSource& all, int64_t n) {
  const int64_t out = pool == nullptr ? int64_t{p.OH()} * p.OW() * p.K : int64_t{pool->OH()} * pool->OW() * p.K;
  return {all.y == nullptr ? nullptr : all.y + n * out, all.argmax == nullptr ? nullptr : all.argmax + n * out,
          all.grad_y + n * out};
}

absl::Status backward_data(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams* pool, const float* w,
                           const ConvGradSource& grad, float* grad_x) {
  const int lanes = HWY_DYNAMIC_DISPATCH(conv_lanes)();
  const int64_t turned_size = int64_t{p.R} * p.S * p.K * ((p.C + lanes - 1) / lanes * lanes);
  float* turned = scratch(kFilterSlot, static_cast<size_t>(turned_size));
  parallel_for(ctx.pool, int64_t{p.R} * p.S, [&](int64_t rs, int) {
    HWY_DYNAMIC_DISPATCH(conv_turn_filter)(p, w, rs, turned);
  });
  parallel_for(ctx.pool, p.N, [&](int64_t n, int) {
    HWY_DYNAMIC_DISPATCH(conv_bwd_data_image)
    (p, pool, turned, grad_of_image(p, pool, grad, n), grad_x + n * p.H * p.W * p.C);
  });
  return absl::OkStatus();
}

// Gradients of the slices, side by side: filter then bias.
struct SliceGrads {
  float* data;
  int64_t stride;
};

// A slice is one task, or several when there are fewer slices than threads; a task owns some (filter row, column panel)
// units of its slice and walks the slice's images in order, so no sum depends on the split.
void slice_grads(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams* pool, const GradSlices& slices,
                 const float* x, const ConvGradSource& grad, const SliceGrads& out) {
  const int panel = 2 * HWY_DYNAMIC_DISPATCH(conv_lanes)();
  const int units = p.R * ((p.K + panel - 1) / panel);
  const int parts = std::clamp((thread_count(ctx.pool) + slices.slices() - 1) / slices.slices(), 1, units);
  parallel_for(ctx.pool, int64_t{slices.slices()} * parts, [&](int64_t task, int) {
    const auto slice = static_cast<size_t>(task / parts);
    const int index = static_cast<int>(task % parts);
    const ConvFilterPart part{index * units / parts, (index + 1) * units / parts};
    float* grad_w = out.data + static_cast<int64_t>(slice) * out.stride;
    float* grad_b = grad_w + p.filter_size();
    if (slices.offsets[slice] == slices.offsets[slice + 1] && index == 0)
      std::fill_n(grad_w, p.filter_size() + p.K, 0.0f);
    for (int64_t n = slices.offsets[slice]; n < slices.offsets[slice + 1]; ++n) {
      HWY_DYNAMIC_DISPATCH(conv_bwd_filter_image)
      (p, pool, part, x + n * p.H * p.W * p.C, grad_of_image(p, pool, grad, n), n == slices.offsets[slice], grad_w,
       grad_b);
    }
  });
}

// One output's partial sums: size elements at `offset` of each slice's gradient.
void sum_subtrees(const KernelContext& ctx, const GradSlices& slices, const SliceGrads& grads, int64_t offset,
                  int64_t size, const GradOutput& out) {
  const int block = HWY_DYNAMIC_DISPATCH(conv_sum_block)();
  const int64_t blocks = (size + block - 1) / block;
  for (int t = 0; t < static_cast<int>(slices.subtrees.size()); ++t) {
    const int begin = slices.subtree_begin(t), count = slices.subtrees[static_cast<size_t>(t)];
    parallel_for(ctx.pool, blocks, [&](int64_t i, int) {
      const int64_t at = i * block;
      HWY_DYNAMIC_DISPATCH(conv_sum_slices)
      (slices.first_slice + begin, count, grads.data + begin * grads.stride + offset + at, grads.stride,
       static_cast<int>(std::min<int64_t>(block, size - at)), out.data + t * out.stride + at);
    });
  }
}

absl::Status backward_filter(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams* pool,
                             const GradSlices& slices, const float* x, const ConvGradSource& grad, GradOutput grad_w,
                             GradOutput grad_b) {
  const int64_t stride = (p.filter_size() + p.K + 15) / 16 * 16;
  const SliceGrads grads{scratch(kSlicesSlot, static_cast<size_t>(slices.slices() * stride)), stride};
  slice_grads(ctx, p, pool, slices, x, grad, grads);
  sum_subtrees(ctx, slices, grads, 0, p.filter_size(), grad_w);
  sum_subtrees(ctx, slices, grads, p.filter_size(), p.K, grad_b);
  return absl::OkStatus();
}

}  // namespace

absl::Status conv2d_fwd(const KernelContext& ctx, const Conv2dParams& p, const float* x, const float* w, const float* b,
                        float* y) {
  return forward(ctx, p, nullptr, x, w, b, y, nullptr);
}

absl::Status conv2d_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const float* w, const float* y,
                             const float* grad_y, float* grad_x) {
  return backward_data(ctx, p, nullptr, w, {y, nullptr, grad_y}, grad_x);
}

absl::Status conv2d_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const GradSlices& slices,
                               const float* x, const float* y, const float* grad_y, GradOutput grad_w,
                               GradOutput grad_b) {
  return backward_filter(ctx, p, nullptr, slices, x, {y, nullptr, grad_y}, grad_w, grad_b);
}

absl::Status conv2d_pool_fwd(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool, const float* x,
                             const float* w, const float* b, float* y, uint8_t* argmax) {
  return forward(ctx, p, &pool, x, w, b, y, argmax);
}

absl::Status conv2d_pool_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                  const float* w, const float* y, const uint8_t* argmax, const float* grad_y,
                                  float* grad_x) {
  return backward_data(ctx, p, &pool, w, {y, argmax, grad_y}, grad_x);
}

absl::Status conv2d_pool_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                    const GradSlices& slices, const float* x, const float* y, const uint8_t* argmax,
                                    const float* grad_y, GradOutput grad_w, GradOutput grad_b) {
  return backward_filter(ctx, p, &pool, slices, x, {y, argmax, grad_y}, grad_w, grad_b);
}

}  // namespace lockstep::simd
#endif  // HWY_ONCE
