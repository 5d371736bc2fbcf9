// SPDX-License-Identifier: Apache-2.0
// Winograd convolution F(4x4, 5x5) and F(6x6, 3x3): 8 x 8 input tiles become 64 points, at each of which the
// convolution is a small matrix product over channels. The three passes share the transforms of winograd-inl.h:
//   forward:          m x m outputs per tile from r x r taps, m = 9 - r
//   input gradient:   the same with the turned filter over the spread gradient
//   filter gradient:  r x r outputs per tile from m x m taps, the gradient; summed over tiles and images of a slice
//   while
//                     still in points, transformed back once
// An output is one chain of fused multiply-adds over the channels (or tiles) of its own image or slice, so it depends
// on neither its neighbours nor the vector length.
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv2d/conv2d_winograd_simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After foreach_target.h:
#include <algorithm>

#include "kernels/conv2d/conv2d_algorithm.h"
#include "kernels/conv2d/conv2d_image-inl.h"
#include "kernels/conv2d/winograd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

// Two images at once: their tiles fill the rows of a register tile and halve the traffic of the packed filter.
inline constexpr int kGroup = 2;
// Floats between points are kept off multiples of 4 KB, or the 64 stores of one transform meet in two cache sets.
inline constexpr int kPointPad = 16;

// How an image is cut into tiles of m x m outputs, and the zero-padded input that they cover.
struct Tiles {
  int rows, columns, m, height, width;
  Tiles(int out_h, int out_w, int r)
      : rows((out_h + 8 - r) / (9 - r)),
        columns((out_w + 8 - r) / (9 - r)),
        m(9 - r),
        height(rows * m + r - 1),
        width(columns * m + r - 1) {}
  int count() const { return rows * columns; }
};

// 64 matrices (rows, columns), one per point.
struct Points {
  float* data;
  ptrdiff_t stride;  // floats between points
  Points(int slot, int64_t rows, int columns)
      : data(scratch(slot, static_cast<size_t>(64 * (rows * columns + kPointPad)))),
        stride(rows * columns + kPointPad) {}
};

// in (height, width, C) -> rows [first, first + tiles.count()) of points (tiles, C).
HWY_INLINE void tiles_to_points(const Tiles& tiles, int C, const float* in, int64_t first, const Points& points) {
  for (int t = 0; t < tiles.count(); ++t) {
    const ptrdiff_t corner = (ptrdiff_t{t / tiles.columns} * tiles.m * tiles.width + t % tiles.columns * tiles.m) * C;
    float* out = points.data + (first + t) * C;
    for (int c = 0; c < C; c += kLanes) {
      winograd_input(in + corner + c, ptrdiff_t{tiles.width} * C, C, out + c, points.stride);
    }
  }
}

// What happens to the results of a tile on their way out.
struct TileOutput {
  int height, width, channels;  // of the output image
  const float* bias;            // or null
  bool relu;
};

// Points (tiles, columns) -> the channels [k, k + columns) of one output image (height, width, channels).
template <int m>
HWY_INLINE void points_to_tiles(const Tiles& tiles, const TileOutput& out, int k, int columns, const float* points,
                                ptrdiff_t stride, float* y) {
  const Floats d;
  const FloatVec zero = hn::Zero(d);
  for (int t = 0; t < tiles.count(); ++t) {
    const int h0 = t / tiles.columns * m, w0 = t % tiles.columns * m;
    for (int c = 0; c < columns; c += kLanes) {
      FloatVec result[m][m];
      winograd_output<m>(points + ptrdiff_t{t} * columns + c, stride, result);
      const FloatVec bias = out.bias == nullptr ? zero : hn::LoadU(d, out.bias + k + c);
      for (int i = 0; i < std::min(m, out.height - h0); ++i) {
        for (int j = 0; j < std::min(m, out.width - w0); ++j) {
          FloatVec value = hn::Add(result[i][j], bias);
          if (out.relu) value = rectified(value);
          hn::StoreU(value, d, y + (ptrdiff_t{h0 + i} * out.width + w0 + j) * out.channels + k + c);
        }
      }
    }
  }
}

// The stride-1 correlation of `images` images already in points (images * tiles, C) with a packed filter (64, C, K).
template <int r>
HWY_INLINE void correlate(const Tiles& tiles, const TileOutput& out, int images, int C, const Points& points,
                          const float* packed, float* y) {
  const int rows = images * tiles.count(), K = out.channels;
  const GemmLoop loop{.KI = C, .a_m = C, .a_i = 1, .b_i = K};
  for (int k = 0; k < K; k += kPanel) {
    const int columns = std::min(kPanel, K - k);
    const Points product(kProductSlot, rows, columns);
    for (int point = 0; point < 64; ++point) {
      gemm_panel(loop, GemmEnds{}, rows, columns, points.data + point * points.stride,
                 packed + ptrdiff_t{point} * C * K + k, product.data + point * product.stride, columns);
    }
    for (int i = 0; i < images; ++i) {
      points_to_tiles<9 - r>(tiles, out, k, columns, product.data + ptrdiff_t{i} * tiles.count() * columns,
                             product.stride, y + ptrdiff_t{i} * out.height * out.width * K);
    }
  }
}

int64_t winograd_packed_floats(const Conv2dParams& p, bool) { return int64_t{64} * p.C * p.K; }

// Unit: an input channel of the correlation: c, or k for the turned filter.
int winograd_pack_units(const Conv2dParams& p, bool turned) { return turned ? p.K : p.C; }

template <int r>
void pack_taps(const Conv2dParams& p, bool turned, const float* w, int unit, float* packed) {
  const ptrdiff_t point = ptrdiff_t{p.C} * p.K;
  if (!turned) {
    for (int k = 0; k < p.K; k += kLanes) {
      const float* from = w + ptrdiff_t{unit} * p.K + k;
      winograd_taps<r>(from, r * point, point, packed + ptrdiff_t{unit} * p.K + k, point);
    }
    return;
  }
  float* taps = scratch(kTapsSlot, static_cast<size_t>(r * r * p.C));
  for (int rs = 0; rs < r * r; ++rs) {
    for (int c = 0; c < p.C; ++c) taps[rs * p.C + c] = w[(ptrdiff_t{r * r - 1 - rs} * p.C + c) * p.K + unit];
  }
  for (int c = 0; c < p.C; c += kLanes) {
    winograd_taps<r>(taps + c, ptrdiff_t{r} * p.C, p.C, packed + ptrdiff_t{unit} * p.C + c, point);
  }
}

void winograd_pack(const Conv2dParams& p, bool turned, const float* w, int unit, float* packed) {
  p.R == 5 ? pack_taps<5>(p, turned, w, unit, packed) : pack_taps<3>(p, turned, w, unit, packed);
}

template <int r>
void fwd(const Conv2dParams& p, const Pool2dParams* pool, int images, const float* x, const float* packed,
         const float* b, float* y, uint8_t* argmax) {
  const Tiles tiles(p.OH(), p.OW(), r);
  const Points points(kPointsSlot, int64_t{images} * tiles.count(), p.C);
  float* in = scratch(kInputSlot, static_cast<size_t>(int64_t{tiles.height} * tiles.width * p.C));
  for (int i = 0; i < images; ++i) {
    pad_image(p, tiles.height, tiles.width, x + int64_t{i} * p.H * p.W * p.C, in);
    tiles_to_points(tiles, p.C, in, int64_t{i} * tiles.count(), points);
  }
  const TileOutput out{p.OH(), p.OW(), p.K, b, p.relu};
  if (pool == nullptr) return correlate<r>(tiles, out, images, p.C, points, packed, y);
  const int64_t full_size = int64_t{p.OH()} * p.OW() * p.K, pooled = int64_t{pool->OH()} * pool->OW() * p.K;
  float* full = scratch(kOutputSlot, static_cast<size_t>(images * full_size));
  correlate<r>(tiles, out, images, p.C, points, packed, full);
  for (int i = 0; i < images; ++i) {
    pool_image_fwd(*pool, full + i * full_size, y + i * pooled, offset_or_null(argmax, i * pooled));
  }
}

void winograd_fwd(const Conv2dParams& p, const Pool2dParams* pool, int images, const float* x, const float* packed,
                  const float* b, float* y, uint8_t* argmax) {
  p.R == 5 ? fwd<5>(p, pool, images, x, packed, b, y, argmax) : fwd<3>(p, pool, images, x, packed, b, y, argmax);
}

template <int r>
void bwd_data(const Conv2dParams& p, const Pool2dParams* pool, int images, const float* packed,
              const ConvGradSource& grad, float* grad_x) {
  const Tiles tiles(p.H, p.W, r);
  const Points points(kPointsSlot, int64_t{images} * tiles.count(), p.K);
  float* in = scratch(kInputSlot, static_cast<size_t>(int64_t{tiles.height} * tiles.width * p.K));
  for (int i = 0; i < images; ++i) {
    spread_grad_for_data(p, pool, grad_of_image(p, pool, grad, i), tiles.height, tiles.width, in);
    tiles_to_points(tiles, p.K, in, int64_t{i} * tiles.count(), points);
  }
  correlate<r>(tiles, {p.H, p.W, p.C, nullptr, false}, images, p.K, points, packed, grad_x);
}

void winograd_bwd_data(const Conv2dParams& p, const Pool2dParams* pool, int images, const float* packed,
                       const ConvGradSource& grad, float* grad_x) {
  p.R == 5 ? bwd_data<5>(p, pool, images, packed, grad, grad_x) : bwd_data<3>(p, pool, images, packed, grad, grad_x);
}

// Unit: a column panel of 32 filters (every instruction set cuts alike, though only the sum's order matters).
inline constexpr int kUnitColumns = 32;
int winograd_filter_units(const Conv2dParams& p) { return (p.K + kUnitColumns - 1) / kUnitColumns; }

// The gradient (OH, OW) of one image, zero beyond, channels [k, k + columns) -> rows of points (tiles, columns).
template <int m>
HWY_INLINE void grad_to_points(const Tiles& tiles, int K, int k, int columns, const float* grad, int64_t first,
                               const Points& points) {
  const ptrdiff_t row = ptrdiff_t{tiles.columns} * m * K;
  for (int t = 0; t < tiles.count(); ++t) {
    const float* corner = grad + t / tiles.columns * m * row + ptrdiff_t{t % tiles.columns} * m * K + k;
    float* out = points.data + (first + t) * columns;
    for (int c = 0; c < columns; c += kLanes) winograd_taps<m>(corner + c, row, K, out + c, points.stride);
  }
}

template <int r>
void bwd_filter(const Conv2dParams& p, const Pool2dParams* pool, const ConvFilterPart& part, int64_t images,
                const float* x, const ConvGradSource& grad, float* grad_w, float* grad_b) {
  constexpr int m = 9 - r;
  const Tiles tiles(p.OH(), p.OW(), r);
  const int k = part.begin * kUnitColumns, columns = std::min(p.K, part.end * kUnitColumns) - k, T = tiles.count();
  const Points inputs(kPointsSlot, kGroup * T, p.C), taps(kTapsSlot, kGroup * T, columns), sum(kSumSlot, p.C, columns);
  const ptrdiff_t row = ptrdiff_t{tiles.columns} * m * p.K;
  float* in = scratch(kInputSlot, static_cast<size_t>(int64_t{tiles.height} * tiles.width * p.C));
  float* spread = scratch(kOutputSlot, static_cast<size_t>(tiles.rows * m * row));
  std::fill_n(spread, tiles.rows * m * row, 0.0f);
  std::fill_n(sum.data, 64 * sum.stride, 0.0f);
  if (part.begin == 0) std::fill_n(grad_b, p.K, 0.0f);
  for (int64_t n = 0; n < images; n += kGroup) {
    const int group = static_cast<int>(std::min<int64_t>(kGroup, images - n));
    for (int i = 0; i < group; ++i) {
      pad_image(p, tiles.height, tiles.width, x + (n + i) * p.H * p.W * p.C, in);
      tiles_to_points(tiles, p.C, in, int64_t{i} * T, inputs);
      if (pool != nullptr) std::fill_n(spread, tiles.rows * m * row, 0.0f);
      spread_grad(p, pool, grad_of_image(p, pool, grad, n + i), {spread, row, p.K});
      grad_to_points<m>(tiles, p.K, k, columns, spread, int64_t{i} * T, taps);
      if (part.begin == 0) add_bias_grad(p, spread, row, p.K, grad_b);
    }
    const GemmLoop loop{.KI = group * T, .a_m = 1, .a_i = p.C, .b_i = columns};
    for (int point = 0; point < 64; ++point) {
      for (int c = 0; c < columns; c += kPanel) {
        gemm_panel(loop, GemmEnds{.accumulate = true}, p.C, std::min(kPanel, columns - c),
                   inputs.data + point * inputs.stride, taps.data + point * taps.stride + c,
                   sum.data + point * sum.stride + c, columns);
      }
    }
  }
  const Floats d;
  for (int c = 0; c < p.C; ++c) {
    for (int j = 0; j < columns; j += kLanes) {
      FloatVec result[r][r];
      winograd_output<r>(sum.data + ptrdiff_t{c} * columns + j, sum.stride, result);
      for (int rs = 0; rs < r * r; ++rs) {
        hn::StoreU(result[rs / r][rs % r], d, grad_w + (ptrdiff_t{rs} * p.C + c) * p.K + k + j);
      }
    }
  }
}

void winograd_bwd_filter(const Conv2dParams& p, const Pool2dParams* pool, const ConvFilterPart& part, int64_t images,
                         const float* x, const ConvGradSource& grad, float* grad_w, float* grad_b,
                         const ConvDataGrad*) {
  p.R == 5 ? bwd_filter<5>(p, pool, part, images, x, grad, grad_w, grad_b)
           : bwd_filter<3>(p, pool, part, images, x, grad, grad_w, grad_b);
}

ConvAlgorithm winograd_algorithm() {
  return {kGroup,       winograd_packed_floats, winograd_pack_units,   winograd_pack,
          winograd_fwd, winograd_bwd_data,      winograd_filter_units, winograd_bwd_filter,
          false};
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(winograd_algorithm);

ConvAlgorithm conv_winograd() { return HWY_DYNAMIC_DISPATCH(winograd_algorithm)(); }

}  // namespace lockstep
#endif  // HWY_ONCE
