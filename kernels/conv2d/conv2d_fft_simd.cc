// SPDX-License-Identifier: Apache-2.0
// Convolution of whole planes by Fourier transforms on a circle of 16 x 16, for planes that fit on it with their
// padding: at each of the 128 points of fft16-inl.h the convolution is a small matrix product of complex numbers over
// channels. A plane is transformed once, not as overlapping tiles, and 5 x 5 filters over 14 x 14 cost 508
// multiplications for a pair of channels instead of Winograd's 1024 or 4900.
//   forward:          spectra of the images times the conjugate spectra of the filters
//   input gradient:   spectra of the spread gradient times those of the filters
//   filter gradient:  spectra of the images times the conjugates of the gradient's, summed over the images of a slice
//                     while still in points, transformed back once
// An output is one chain of fused multiply-adds over the channels (or images) of its own image or slice, so it depends
// on neither its neighbours nor the vector length.
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv2d/conv2d_fft_simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After foreach_target.h:
#include <algorithm>

#include "kernels/conv2d/conv2d_algorithm.h"
#include "kernels/conv2d/conv2d_image-inl.h"
#include "kernels/conv2d/fft16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

using Complex = Fft16::Complex;

// Images at once: rows of one register tile with AVX-512, of three otherwise, which share a filter's way through the
// caches. Filter gradients are summed in groups of this many images, so it must not depend on the instruction set.
inline constexpr int kFftGroup = 14;
// Spectra are twice, unnormalized planes 256 times what they should be.
inline constexpr float kFftScale = 1.0f / 1024;
// Floats between spectra, and between the points of a filter or of its gradient, are kept off multiples of 4 KB, or
// what is used together meets in a few cache sets.
inline constexpr int kSpectrumPad = 16;

// Spectra of `rows` images, gradients or their products: (rows, 128 points, parts, channels), so that a transform stays
// within a few pages, and at each point a matrix of as many rows, `row` floats apart.
struct Spectra {
  ptrdiff_t stride;  // floats between points
  ptrdiff_t row;     // floats between rows
  float* data;
  static constexpr ptrdiff_t row_of(ptrdiff_t channels, int parts) {
    return kSpectrumPoints * channels * parts + kSpectrumPad;
  }
  Spectra(int slot, int64_t rows, int channels, int parts)
      : stride(ptrdiff_t{channels} * parts),
        row(row_of(channels, parts)),
        data(scratch(slot, static_cast<size_t>(rows * row))) {}
};

// A transform of a filter, or of its gradient, touches a line or two at each of 128 points, too far apart for the
// processor to see the next ones coming: each asks for the lines of the transform after it while it computes.
HWY_INLINE void ask_to_read(const float* at) { __builtin_prefetch(at, 0, 3); }
HWY_INLINE void ask_to_write(float* at) { __builtin_prefetch(at, 1, 3); }

// Complex left factors are stored as (im, re, -im): two parts one after another, forward from `re` or from `im`, are
// what the two parts of a product want to be multiplied with (re, im) of the right factor.
inline constexpr int kLeftParts = 3, kIm = 0, kRe = 1, kMinusIm = 2;
static_assert(Spectra::row_of(32, kLeftParts) == kSpectrumStride32);
static_assert(Spectra::row_of(64, kLeftParts) == kSpectrumStride64);
// Right factors, and products, as (re, im).
inline constexpr int kRightParts = 2;

// Planes (rows, columns, channels) of an image -> row n of left factors (kParts = kLeftParts) or of right ones.
template <int kParts>
HWY_NOINLINE void image_to_points(const CirclePlane& plane, int channels, const float* x, int64_t n,
                                  const Spectra& to) {
  constexpr bool kLeft = kParts == kLeftParts;
  const Fft16::D d;
  for (int c = 0; c < channels; c += kLanes) {
    float* out = to.data + n * to.row + c;
    fft16_forward(plane, x + c, ptrdiff_t{plane.columns} * channels, channels, [&](int point, auto re, auto im) {
      float* at = out + point * to.stride;
      hn::StoreU(kLeft ? im : re, d, at);
      hn::StoreU(kLeft ? re : im, d, at + channels);
      if constexpr (kLeft) hn::StoreU(hn::Neg(im), d, at + kMinusIm * channels);
    });
  }
}

// Where taps (R, S) lie on the circle: those in front of the output's position come around.
HWY_INLINE CirclePlane tap_plane(const Conv2dParams& p) {
  return {p.R, p.S, -p.dim_h().pad_before, -p.dim_w().pad_before};
}

// Floats between the points of a packed filter.
HWY_INLINE ptrdiff_t packed_stride(int64_t channel_pairs) { return kRightParts * channel_pairs + kSpectrumPad; }

int64_t fft_packed_floats(const Conv2dParams& p, bool) { return kSpectrumPoints * packed_stride(int64_t{p.C} * p.K); }

// Unit: an input channel of the correlation: c, or k for the turned filter.
int fft_pack_units(const Conv2dParams& p, bool turned) { return turned ? p.K : p.C; }

// Packed: right factors (128, 2, C, K), conjugate and scaled; turned (128, 2, K, C), not conjugate.
void fft_pack(const Conv2dParams& p, bool turned, const float* w, int unit, float* packed) {
  const Fft16::D d;
  const ptrdiff_t part = ptrdiff_t{p.C} * p.K;
  const int columns = turned ? p.C : p.K;
  const float* taps = w + ptrdiff_t{unit} * p.K;
  ptrdiff_t tap = part;
  if (turned) {
    float* const gathered = scratch(kTapsSlot, static_cast<size_t>(p.R * p.S * p.C));
    for (int rsc = 0; rsc < p.R * p.S * p.C; ++rsc) gathered[rsc] = w[ptrdiff_t{rsc} * p.K + unit];
    taps = gathered;
    tap = p.C;
  }
  const auto scale = Fft16::c(kFftScale), im_scale = Fft16::c(turned ? kFftScale : -kFftScale);
  for (int i = 0; i < columns; i += kLanes) {
    float* const out = packed + ptrdiff_t{unit} * columns + i;
    fft16_forward(tap_plane(p), taps + i, p.S * tap, tap, [&](int point, auto re, auto im) {
      float* const at = out + point * packed_stride(part);
      hn::StoreU(hn::Mul(re, scale), d, at);
      hn::StoreU(hn::Mul(im, point < kRealPoints ? scale : im_scale), d, at + part);
      ask_to_write(at + kLanes);
      ask_to_write(at + part + kLanes);
    });
  }
}

// What happens to the elements of a plane on their way out.
struct PlaneOutput {
  int height, width, channels;  // of the output image
  const float* bias;            // or null
  bool relu;
};

// Products (128, 2, columns) -> the channels [k, k + columns) of an output image (height, width, channels).
HWY_NOINLINE void products_to_image(const PlaneOutput& out, int k, int columns, const float* products, float* y) {
  const Fft16::D d;
  const auto zero = hn::Zero(d);
  for (int c = 0; c < columns; c += kLanes) {
    const auto bias = out.bias == nullptr ? zero : hn::LoadU(d, out.bias + k + c);
    fft16_inverse(
        {out.height, out.width},
        [&](int point) {
          const float* const at = products + point * kRightParts * columns + c;
          return Complex{hn::LoadU(d, at), hn::LoadU(d, at + columns)};
        },
        [&](int h, int w, auto value) {
          value = hn::Add(value, bias);
          if (out.relu) value = rectified(value);
          hn::StoreU(value, d, y + (ptrdiff_t{h} * out.width + w) * out.channels + k + c);
        });
  }
}

// Products of `images` spectra of C channels with a packed filter, transformed back.
HWY_NOINLINE void correlate_spectra(const PlaneOutput& out, int images, int C, const Spectra& spectra,
                                    const float* packed, float* y) {
  const int K = out.channels;
  const ptrdiff_t part = ptrdiff_t{C} * K;
  GemmLoop loop{.KO = 1, .KI = C, .a_m = spectra.row, .a_o = C, .a_i = 1, .b_o = part, .b_i = K};
  for (int k = 0; k < K; k += kPanel) {
    const int columns = std::min(kPanel, K - k);
    const Spectra products(kProductSlot, images, columns, kRightParts);
    for (int point = 0; point < kSpectrumPoints; ++point) {
      const float* const left = spectra.data + point * spectra.stride;
      const float* const right = packed + point * packed_stride(part) + k;
      float* const product = products.data + point * products.stride;
      const bool real = point < kRealPoints;
      loop.KO = real ? 1 : 2;
      // The filter is larger than the second-level cache.
      const NextBlock next{right + packed_stride(part), point + 1 < kSpectrumPoints ? kRightParts * C : 0, columns, K};
      loop.next = next.part(0, 1, 2);
      gemm_panel(loop, GemmEnds{}, images, columns, left + kRe * C, right, product, products.row);
      loop.next = next.part(1, 2, 2);
      gemm_panel(loop, GemmEnds{}, images, columns, left + kIm * C, real ? right + part : right, product + columns,
                 products.row);
    }
    for (int i = 0; i < images; ++i) {
      products_to_image(out, k, columns, products.data + i * products.row,
                        y + ptrdiff_t{i} * out.height * out.width * K);
    }
  }
}

void fft_fwd(const Conv2dParams& p, const Pool2dParams* pool, int images, const float* x, const float* packed,
             const float* b, float* y, uint8_t* argmax) {
  const Spectra spectra(kPointsSlot, images, p.C, kLeftParts);
  for (int i = 0; i < images; ++i)
    image_to_points<kLeftParts>({p.H, p.W}, p.C, x + int64_t{i} * p.H * p.W * p.C, i, spectra);
  const PlaneOutput out{p.OH(), p.OW(), p.K, b, p.relu};
  if (pool == nullptr) return correlate_spectra(out, images, p.C, spectra, packed, y);
  const int64_t full_size = int64_t{p.OH()} * p.OW() * p.K, pooled = int64_t{pool->OH()} * pool->OW() * p.K;
  float* full = scratch(kOutputSlot, static_cast<size_t>(images * full_size));
  correlate_spectra(out, images, p.C, spectra, packed, full);
  for (int i = 0; i < images; ++i) {
    pool_image_fwd(*pool, full + i * full_size, y + i * pooled, offset_or_null(argmax, i * pooled));
  }
}

// The gradient (OH, OW, K) of one image in front of ReLU and pool, into scratch.
HWY_NOINLINE const float* spread_plane(const Conv2dParams& p, const Pool2dParams* pool, const ConvGradSource& grad) {
  const int64_t size = int64_t{p.OH()} * p.OW() * p.K;
  float* const spread = scratch(kOutputSlot, static_cast<size_t>(size));
  if (pool != nullptr) std::fill_n(spread, size, 0.0f);
  spread_grad(p, pool, grad, {spread, ptrdiff_t{p.OW()} * p.K, p.K});
  return spread;
}

void fft_bwd_data(const Conv2dParams& p, const Pool2dParams* pool, int images, const float* packed,
                  const ConvGradSource& grad, float* grad_x) {
  const Spectra spectra(kPointsSlot, images, p.K, kLeftParts);
  for (int i = 0; i < images; ++i) {
    image_to_points<kLeftParts>({p.OH(), p.OW()}, p.K, spread_plane(p, pool, grad_of_image(p, pool, grad, i)), i,
                                spectra);
  }
  correlate_spectra({p.H, p.W, p.C, nullptr, false}, images, p.K, spectra, packed, grad_x);
}

// Unit: a column panel of 32 filters (every instruction set cuts alike, though only the sum's order matters).
inline constexpr int kFftUnit = 32;
int fft_filter_units(const Conv2dParams& p) { return (p.K + kFftUnit - 1) / kFftUnit; }

// A block of the filter gradient's spectra: channels [c, c + kSumChannels) and filters [k, k + columns), one unit. Its
// points (kSumChannels, 2, columns) stay in the second-level cache from the products to the transform back.
inline constexpr int kSumChannels = 16;
struct SumBlock {
  static constexpr ptrdiff_t kStride = kSumChannels * kRightParts * kFftUnit + kSpectrumPad;  // floats between points
  static constexpr ptrdiff_t kFloats = kSpectrumPoints * kStride;

  int c = 0, k = 0, columns = 0;
  float* sums = nullptr;
};

// Sums (+)= products of the points of `images` images (images, 2, C) with the conjugates of those of their gradients
// (images, 3, K).
HWY_NOINLINE void add_products(const Conv2dParams& p, const SumBlock& block, int images, bool first,
                               const Spectra& inputs, const Spectra& grads) {
  GemmLoop loop{.KI = images, .a_m = 1, .a_o = p.C, .a_i = inputs.row, .b_o = -ptrdiff_t{p.K}, .b_i = grads.row};
  const GemmEnds ends{.accumulate = !first};
  for (int point = 0; point < kSpectrumPoints; ++point) {
    const float* const left = inputs.data + point * inputs.stride + block.c;
    const float* const right = grads.data + point * grads.stride + block.k;
    const bool real = point < kRealPoints;
    loop.KO = real ? 1 : 2;
    for (int c = 0; c < block.columns; c += kPanel) {
      float* const to = block.sums + point * SumBlock::kStride + c;
      const int wide = std::min(kPanel, block.columns - c), ld = block.columns * kRightParts;
      gemm_panel(loop, ends, kSumChannels, wide, left, right + kRe * p.K + c, to, ld);
      gemm_panel(loop, ends, kSumChannels, wide, real ? left + p.C : left, right + (real ? kIm : kMinusIm) * p.K + c,
                 to + block.columns, ld);
    }
  }
}

// A number of a row of sums (2, columns); the next row is asked for.
HWY_INLINE Complex load_sum(const float* at, int columns) {
  for (int part = 0; part < kRightParts; ++part) ask_to_read(at + (kRightParts + part) * columns);
  return {hn::LoadU(Fft16::D{}, at), hn::LoadU(Fft16::D{}, at + columns)};
}

// The sums of a block -> its part of grad_w.
HWY_NOINLINE void sums_to_taps(const Conv2dParams& p, const SumBlock& block, float* grad_w) {
  const Fft16::D d;
  const auto scale = Fft16::c(kFftScale);
  const CirclePlane plane = tap_plane(p);
  for (int c = 0; c < kSumChannels; ++c) {
    for (int j = 0; j < block.columns; j += kLanes) {
      const float* const from = block.sums + ptrdiff_t{c} * block.columns * kRightParts + j;
      float* const to = grad_w + ptrdiff_t{block.c + c} * p.K + block.k + j;
      fft16_inverse(
          plane, [&](int point) { return load_sum(from + point * SumBlock::kStride, block.columns); },
          [&](int r, int s, auto value) {
            hn::StoreU(hn::Mul(value, scale), d, to + ptrdiff_t{r * p.S + s} * p.C * p.K);
          });
    }
  }
}

// Spectra of `images` images and of their gradients; adds to grad_b unless it is null.
HWY_NOINLINE void filter_spectra(const Conv2dParams& p, const Pool2dParams* pool, int images, const float* x,
                                 const ConvGradSource& grad, const Spectra& inputs, const Spectra& grads,
                                 float* grad_b) {
  for (int i = 0; i < images; ++i) {
    image_to_points<kRightParts>({p.H, p.W}, p.C, x + int64_t{i} * p.H * p.W * p.C, i, inputs);
    const float* const spread = spread_plane(p, pool, grad_of_image(p, pool, grad, i));
    image_to_points<kLeftParts>({p.OH(), p.OW()}, p.K, spread, i, grads);
    if (grad_b != nullptr) add_bias_grad(p, spread, ptrdiff_t{p.OW()} * p.K, p.K, grad_b);
  }
}

void fft_bwd_filter(const Conv2dParams& p, const Pool2dParams* pool, const ConvFilterPart& part, int64_t images,
                    const float* x, const ConvGradSource& grad, float* grad_w, float* grad_b,
                    const ConvDataGrad* data) {
  if (part.begin == 0) std::fill_n(grad_b, p.K, 0.0f);
  const Spectra inputs(kPointsSlot, kFftGroup, p.C, kRightParts), grads(kTapsSlot, kFftGroup, p.K, kLeftParts);
  const int blocks_of_unit = p.C / kSumChannels, blocks = (part.end - part.begin) * blocks_of_unit;
  // A slice of one group, which is the usual one, makes its blocks one after another in the same place.
  const bool one_group = images <= kFftGroup;
  float* const sums = scratch(kSumSlot, static_cast<size_t>((one_group ? 1 : blocks) * SumBlock::kFloats));
  for (int64_t n = 0; n == 0 || n < images; n += kFftGroup) {
    const int group = static_cast<int>(std::min<int64_t>(kFftGroup, images - n));
    const int64_t first = n * p.H * p.W * p.C;
    filter_spectra(p, pool, group, x + first, grad_of_image(p, pool, grad, n), inputs, grads,
                   part.begin == 0 ? grad_b : nullptr);
    for (int i = 0; i < blocks; ++i) {
      const int unit = part.begin + i / blocks_of_unit, k = unit * kFftUnit;
      const SumBlock block{i % blocks_of_unit * kSumChannels, k, std::min(kFftUnit, p.K - k),
                           one_group ? sums : sums + i * SumBlock::kFloats};
      add_products(p, block, group, n == 0, inputs, grads);
      if (n + group >= images) sums_to_taps(p, block, grad_w);
    }
    if (data != nullptr) {
      correlate_spectra({p.H, p.W, p.C, nullptr, false}, group, p.K, grads, data->packed, data->grad_x + first);
    }
  }
}

ConvAlgorithm fft_algorithm() {
  return {kFftGroup,    fft_packed_floats, fft_pack_units, fft_pack, fft_fwd,
          fft_bwd_data, fft_filter_units,  fft_bwd_filter, true};
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(fft_algorithm);

ConvAlgorithm conv_fft() { return HWY_DYNAMIC_DISPATCH(fft_algorithm)(); }

}  // namespace lockstep
#endif  // HWY_ONCE
