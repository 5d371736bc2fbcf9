// SPDX-License-Identifier: Apache-2.0
// Direct convolution of an image of one channel that is blank for the most part, as a drawn digit is: a step of the
// reduction in which a tile of outputs meets zeros alone adds nothing, and is left out. The order of the others stays
// the same, and so do the bits. Included once per instruction set.
#if defined(LOCKSTEP_KERNELS_CONV2D_SPARSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_KERNELS_CONV2D_SPARSE_INL_H_
#undef LOCKSTEP_KERNELS_CONV2D_SPARSE_INL_H_
#else
#define LOCKSTEP_KERNELS_CONV2D_SPARSE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstdint>

#include "kernels/conv2d/conv2d_algorithm.h"
#include "kernels/gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

// Outputs of a row that make a tile: narrow ones meet more blank steps.
inline constexpr int kSparseTile = std::min(kMaxRows, 7);

// Share of the steps up to which leaving out the others is faster than the wide tiles of all.
inline constexpr double kSparseSteps = 0.75;

// Pixels of a row, and steps, as bits of a word.
inline constexpr int kMostBits = 64;

// Whether the image may be convolved step by step; whether that pays depends on its pixels. Behind a ReLU no zero is
// left of the wrong sign, where a product of zero would have given the other.
HWY_INLINE bool can_leave_out(const Conv2dParams& p, int padded_height, int padded_width, const float* w) {
  if (p.C != 1 || p.stride != 1 || !p.relu || p.K % kLanes != 0) return false;
  if (padded_width > kMostBits || padded_height > kMostBits || p.R * p.S > kMostBits) return false;
  // Zero times a weight that is not finite is no zero.
  const Floats d;
  FloatVec zeros = hn::Zero(d);
  for (ptrdiff_t i = 0; i < ptrdiff_t{p.R} * p.S * p.K; i += kLanes)
    zeros = hn::MulAdd(hn::LoadU(d, w + i), hn::Zero(d), zeros);
  return hn::AllTrue(d, hn::Eq(zeros, hn::Zero(d)));
}

// Bit j: x[j] is not zero. count <= kMostBits.
HWY_INLINE uint64_t nonzero_bits(const float* x, int count) {
  const Floats d;
  uint64_t bits = 0;
  int j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    bits |= mask_bits(hn::Not(hn::Eq(hn::LoadU(d, x + j), hn::Zero(d)))) << j;  // NaN is not zero
  }
  for (; j < count; ++j) bits |= uint64_t{x[j] != 0} << j;
  return bits;
}

// Where a padded image is blank, and where the steps of the reduction find their pixels.
struct SparseImage {
  int height, width;
  uint64_t rows[kMostBits];  // bit j: one of the pixels [j, j + kSparseTile) of the row is not zero
  int at[kMostBits];         // of step r * S + s, from the pixel under tap (0, 0)

  SparseImage(const Conv2dParams& p, const float* x, int padded_height, int padded_width)
      : height(padded_height), width(padded_width) {
    for (int h = 0; h < height; ++h, x += width) {
      const uint64_t bits = nonzero_bits(x, width);
      rows[h] = bits;
      for (int j = 1; j < kSparseTile; ++j) rows[h] |= bits >> j;
    }
    for (int step = 0; step < p.R * p.S; ++step) at[step] = step / p.S * width + step % p.S;
  }

  // Whether leaving out steps pays.
  bool is_blank_enough() const {
    int set = 0;
    for (int h = 0; h < height; ++h) set += std::popcount(rows[h]);
    return set <= kSparseSteps * height * width;
  }

  // The steps r * S + s in which outputs [ow, ow + kSparseTile) of row oh meet a pixel that is not zero.
  uint64_t steps(const Conv2dParams& p, int oh, int ow) const {
    const uint64_t taps = p.S == kMostBits ? ~uint64_t{0} : (uint64_t{1} << p.S) - 1;
    uint64_t steps = 0;
    for (int r = p.R - 1; r >= 0; --r) {
      const uint64_t of_row = (rows[oh + r] >> ow) & taps;
      steps = p.S == kMostBits ? of_row : steps << p.S | of_row;
    }
    return steps;
  }
};

// MR outputs of a row, NV vectors of channels. x: the pixel under tap (0, 0) of the first; at: where the pixels of each
// step are from there; w: (R * S, K).
template <int MR, int NV>
HWY_NOINLINE void sparse_tile(uint64_t steps, const int* at, const float* HWY_RESTRICT x, const float* HWY_RESTRICT w,
                              const float* b, int K, float* HWY_RESTRICT y) {
  const Floats d;
  FloatVec acc[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR * NV; ++i) acc[i / NV][i % NV] = hn::LoadU(d, b + i % NV * kLanes);
  for (; steps != 0; steps &= steps - 1) {
    const int step = std::countr_zero(steps);
    const float *pixels = x + at[step], *taps = w + ptrdiff_t{step} * K;
    FloatVec columns[NV];
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) columns[v] = hn::LoadU(d, taps + v * kLanes);
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) {
      const FloatVec pixel = hn::Set(d, pixels[m]);
#pragma GCC unroll 16
      for (int v = 0; v < NV; ++v) acc[m][v] = hn::MulAdd(pixel, columns[v], acc[m][v]);
    }
  }
  const FloatVec zero = hn::Zero(d);
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) {
      const FloatVec sum = acc[m][v];
      hn::StoreU(hn::IfThenZeroElse(hn::Le(sum, zero), sum), d, y + m * K + v * kLanes);  // keeps NaN
    }
  }
}

using SparseTile = void (*)(uint64_t, const int*, const float*, const float*, const float*, int, float*);

template <int NV, int MR = kSparseTile>
HWY_INLINE SparseTile sparse_tile_for(int rows) {
  if constexpr (MR == 0) {
    return nullptr;
  } else {
    return rows == MR ? &sparse_tile<MR, NV> : sparse_tile_for<NV, MR - 1>(rows);
  }
}

// Row oh of the outputs.
HWY_INLINE void sparse_conv_row(const Conv2dParams& p, const SparseImage& image, int oh, const float* x, const float* w,
                                const float* b, float* y) {
  const int OW = p.OW();
  for (int ow = 0; ow < OW; ow += kSparseTile) {
    const uint64_t left = image.steps(p, oh, ow);
    const int outputs = std::min(kSparseTile, OW - ow);
    const float* const pixels = x + ptrdiff_t{oh} * image.width + ow;
    float* const to = y + (ptrdiff_t{oh} * OW + ow) * p.K;
    int k = 0;
    for (const auto tile = sparse_tile_for<2>(outputs); k + kPanel <= p.K; k += kPanel)
      tile(left, image.at, pixels, w + k, b + k, p.K, to + k);
    if (k < p.K) sparse_tile_for<1>(outputs)(left, image.at, pixels, w + k, b + k, p.K, to + k);
  }
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_KERNELS_CONV2D_SPARSE_INL_H_
