// SPDX-License-Identifier: Apache-2.0
// Direct convolution of an image of one channel that is blank for the most part, as a drawn digit is: a tap
// under which a tile of outputs meets zeros alone adds nothing, and is skipped. The order of the others stays the same,
// and so do the bits. Included once per instruction set.
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

// Outputs of a row that make a tile: narrow ones skip more taps.
inline constexpr int kSparseTile = std::min(kMaxRows, 7);

// Share of the taps of all tiles up to which skipping the others is faster than wide tiles that skip nothing.
inline constexpr double kMaxTapDensity = 0.75;

// Pixels of a row, and taps of a filter, are bits of a word.
inline constexpr int kWordBits = 64;

// Whether taps may be skipped; whether that pays depends on the pixels. Behind a ReLU no zero is left of the wrong
// sign, where a product of zero would have given the other.
HWY_INLINE bool can_skip_zeros(const Conv2dParams& p, int padded_height, int padded_width, const float* w) {
  if (p.C != 1 || p.stride != 1 || !p.relu || p.K % kLanes != 0) return false;
  if (padded_width > kWordBits || padded_height > kWordBits || p.R * p.S > kWordBits) return false;
  if (p.S == kWordBits) return false;  // no shift by a whole word
  // Zero times a weight that is not finite is no zero.
  const Floats d;
  FloatVec zeros = hn::Zero(d);
  for (ptrdiff_t i = 0; i < ptrdiff_t{p.R} * p.S * p.K; i += kLanes)
    zeros = hn::MulAdd(hn::LoadU(d, w + i), hn::Zero(d), zeros);
  return hn::AllTrue(d, hn::Eq(zeros, hn::Zero(d)));
}

// Where a padded image is not blank.
struct SparseImage {
  int height, width;
  uint64_t rows[kWordBits];   // bit j: one of the pixels [j, j + kSparseTile) of the row is not zero
  int tap_offset[kWordBits];  // of tap r * S + s, in pixels from tap (0, 0)

  SparseImage(const Conv2dParams& p, const float* x, int padded_height, int padded_width)
      : height(padded_height), width(padded_width) {
    for (int h = 0; h < height; ++h, x += width) {
      const uint64_t bits = nonzero_bits(x, width);
      rows[h] = bits;
      for (int j = 1; j < kSparseTile; ++j) rows[h] |= bits >> j;
    }
    for (int r = 0; r < p.R; ++r) {
      for (int s = 0; s < p.S; ++s) tap_offset[r * p.S + s] = r * width + s;
    }
  }

  // Whether skipping taps pays.
  bool is_sparse_enough() const {
    int set = 0;
    for (int h = 0; h < height; ++h) set += std::popcount(rows[h]);
    return set <= kMaxTapDensity * height * width;
  }

  // Bit r * S + s: under tap (r, s), outputs [ow, ow + kSparseTile) of row oh meet a pixel that is not zero.
  uint64_t active_taps(const Conv2dParams& p, int oh, int ow) const {
    const uint64_t mask = (uint64_t{1} << p.S) - 1;
    uint64_t taps = 0;
    for (int r = p.R - 1; r >= 0; --r) taps = taps << p.S | ((rows[oh + r] >> ow) & mask);
    return taps;
  }
};

// MR outputs of a row, NV vectors of channels. x: the pixel under tap (0, 0) of the first; w: (R * S, K).
template <int MR, int NV>
HWY_NOINLINE void sparse_tile(uint64_t taps, const int* tap_offset, const float* HWY_RESTRICT x,
                              const float* HWY_RESTRICT w, const float* b, int K, float* HWY_RESTRICT y) {
  const Floats d;
  FloatVec acc[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR * NV; ++i) acc[i / NV][i % NV] = hn::LoadU(d, b + i % NV * kLanes);
  for (; taps != 0; taps &= taps - 1) {
    const int tap = std::countr_zero(taps);
    add_outer_product<MR, NV>(x + tap_offset[tap], 1, w + ptrdiff_t{tap} * K, acc);
  }
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) hn::StoreU(rectified(acc[m][v]), d, y + m * K + v * kLanes);
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
    const uint64_t taps = image.active_taps(p, oh, ow);
    const int outputs = std::min(kSparseTile, OW - ow);
    const float* const pixels = x + ptrdiff_t{oh} * image.width + ow;
    float* const to = y + (ptrdiff_t{oh} * OW + ow) * p.K;
    int k = 0;
    for (const auto tile = sparse_tile_for<2>(outputs); k + kPanel <= p.K; k += kPanel)
      tile(taps, image.tap_offset, pixels, w + k, b + k, p.K, to + k);
    if (k < p.K) sparse_tile_for<1>(outputs)(taps, image.tap_offset, pixels, w + k, b + k, p.K, to + k);
  }
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_KERNELS_CONV2D_SPARSE_INL_H_
