// SPDX-License-Identifier: Apache-2.0
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm_simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After foreach_target.h:
#include "kernels/gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

// Walks over a block of memory, a line or two for each step of a reduction.
class Prefetcher {
 public:
  HWY_INLINE Prefetcher(const NextBlock& block, int64_t steps)
      : row_(block.data),
        columns_(block.columns),
        ld_(block.ld),
        step_(steps > 0 ? static_cast<int>((int64_t{block.rows} * block.columns + steps - 1) / steps) : 0) {}

  HWY_INLINE void step() {
    __builtin_prefetch(row_ + at_, 0, 2);
    __builtin_prefetch(row_ + at_ + kLine, 0, 2);
    at_ += step_;
    for (; at_ >= columns_; at_ -= columns_) row_ += ld_;
  }

 private:
  static constexpr int kLine = 64 / sizeof(float);
  const float* row_;
  int columns_, at_ = 0;
  ptrdiff_t ld_;
  int step_;
};

// kStride is a_m where it is known to the compiler, else 0. kNext: the loop has a next block.
template <int MR, int NV, int kStride, bool kNext>
HWY_NOINLINE void gemm_tile(const GemmLoop& loop, const GemmEnds& ends, const float* HWY_RESTRICT a,
                            const float* HWY_RESTRICT b, float* HWY_RESTRICT c, ptrdiff_t ldc) {
  const Floats d;
  const ptrdiff_t a_m = kStride != 0 ? kStride : loop.a_m;
  FloatVec acc[MR][NV];
#pragma GCC unroll 16
  for (int v = 0; v < NV; ++v) {
    const FloatVec start = ends.bias == nullptr ? hn::Zero(d) : hn::LoadU(d, ends.bias + v * kLanes);
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) acc[m][v] = start;
  }
  if (ends.accumulate) {
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 16
      for (int v = 0; v < NV; ++v) acc[m][v] = hn::LoadU(d, c + m * ldc + v * kLanes);
    }
  }
  const ptrdiff_t a_i = loop.a_i, b_i = loop.b_i;
  // Without a next block there is nothing to walk over, and perhaps no step.
  Prefetcher next(kNext ? loop.next : NextBlock{}, kNext ? int64_t{loop.KO} * loop.KI : 0);
  for (int ko = 0; ko < loop.KO; ++ko) {
    const float* HWY_RESTRICT pa = a + ko * loop.a_o;
    const float* HWY_RESTRICT pb = b + ko * loop.b_o;
    for (int ki = loop.KI; ki > 0; --ki) {
      add_outer_product<MR, NV>(pa, a_m, pb, acc);
      pa += a_i;
      pb += b_i;
      if constexpr (kNext) next.step();
    }
  }
  if (ends.relu) {
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 16
      for (int v = 0; v < NV; ++v) acc[m][v] = rectified(acc[m][v]);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) hn::StoreU(acc[m][v], d, c + m * ldc + v * kLanes);
  }
}

template <int NV, int kStride, bool kNext = false, int MR = kMaxRows>
GemmTile choose_rows(int rows) {
  if constexpr (MR == 0) {
    return nullptr;
  } else {
    return rows == MR ? &gemm_tile<MR, NV, kStride, kNext> : choose_rows<NV, kStride, kNext, MR - 1>(rows);
  }
}

GemmTile gemm_tile_for(int rows, int vectors, const GemmLoop& loop) {
  if (vectors == 1) return loop.a_m == 1 ? choose_rows<1, 1>(rows) : choose_rows<1, 0>(rows);
  const bool next = loop.next.rows > 0;
  switch (loop.a_m) {
    case 1:
      return next ? choose_rows<2, 1, true>(rows) : choose_rows<2, 1>(rows);
    case 32:
      return choose_rows<2, 32>(rows);
    case 64:
      return choose_rows<2, 64>(rows);
    case kSpectrumStride32:
      return next ? choose_rows<2, kSpectrumStride32, true>(rows) : choose_rows<2, kSpectrumStride32>(rows);
    case kSpectrumStride64:
      return next ? choose_rows<2, kSpectrumStride64, true>(rows) : choose_rows<2, kSpectrumStride64>(rows);
    default:
      return choose_rows<2, 0>(rows);
  }
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
