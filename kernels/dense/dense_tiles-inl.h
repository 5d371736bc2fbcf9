// SPDX-License-Identifier: Apache-2.0
// Products with one operand packed in tiles of rows; included once per instruction set.
#if defined(LOCKSTEP_KERNELS_DENSE_DENSE_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_KERNELS_DENSE_DENSE_TILES_INL_H_
#undef LOCKSTEP_KERNELS_DENSE_DENSE_TILES_INL_H_
#else
#define LOCKSTEP_KERNELS_DENSE_DENSE_TILES_INL_H_
#endif

#include "kernels/gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

// C(N, columns) (+)= rows [k, k + count) of the reduction over K, with the panel of B's rows from k on, ld_panel apart.
// A: the rows of (N, K) as register tiles want them, tile after tile, each (K, rows of the tile), as dense_pack_tiles
// of dense_impl.h makes them. Meanwhile asks for `next`.
HWY_INLINE void packed_product(int64_t N, int K, int k, int count, int columns, const GemmEnds& ends,
                               const float* packed, const float* panel, int ld_panel, float* c, ptrdiff_t ldc,
                               const NextBlock& next) {
  const auto rows_of = [&](int begin, int rows, GemmLoop& loop) {
    loop.next = next.part(begin, begin + rows, N);
    loop.a_i = rows;
    return packed + ptrdiff_t{begin} * K + ptrdiff_t{k} * rows;
  };
  gemm_panel_rows({.KI = count, .a_m = 1, .b_i = ld_panel}, ends, static_cast<int>(N), columns, rows_of, panel, c, ldc);
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_KERNELS_DENSE_DENSE_TILES_INL_H_
