// SPDX-License-Identifier: Apache-2.0
// The register-tiled multiply-accumulate at the heart of convolution and dense layers; included once per instruction
// set.
//
// A tile of MR rows and NV vectors of columns is kept in registers while the reduction runs over two nested loops:
//   C(m, n) = start + sum over ko < KO, ki < KI of A(m, ko, ki) * B(ko, ki, n)
//   A(m, ko, ki) = a[m * a_m + ko * a_o + ki * a_i]      B(ko, ki, n) = b[ko * b_o + ki * b_i + n]
// Two loops are enough for every use: rows of a filter window, output rows of an image, or a plain matrix product.
//
// Lockstep arithmetic: each element of C is one chain of fused multiply-adds in the order of (ko, ki), whatever the
// tile and the vector length; lanes never mix. So every instruction set with FMA gives the same bits.
#if defined(LOCKSTEP_KERNELS_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_KERNELS_GEMM_INL_H_
#undef LOCKSTEP_KERNELS_GEMM_INL_H_
#else
#define LOCKSTEP_KERNELS_GEMM_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using FloatVec = hn::Vec<Floats>;
inline constexpr int kLanes = static_cast<int>(hn::MaxLanes(Floats{}));

// Accumulators that fit beside one broadcast and NV columns: 31 of 32 registers with AVX-512, 15 of 16 otherwise.
inline constexpr int kMaxVectors = 2;
#if HWY_TARGET <= HWY_AVX3
inline constexpr int kMaxRows = 14;
#else
inline constexpr int kMaxRows = 6;
#endif
inline constexpr int kPanel = kMaxVectors * kLanes;  // columns of a full tile

inline constexpr int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// acc (MR, NV vectors) += column a, floats a_m apart, times row b: one step of a reduction.
template <int MR, int NV>
HWY_INLINE void add_outer_product(const float* HWY_RESTRICT a, ptrdiff_t a_m, const float* HWY_RESTRICT b,
                                  FloatVec (&acc)[MR][NV]) {
  const Floats d;
  FloatVec columns[NV];
#pragma GCC unroll 16
  for (int v = 0; v < NV; ++v) columns[v] = hn::LoadU(d, b + v * kLanes);
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) {
    const FloatVec row = hn::Set(d, a[m * a_m]);
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) acc[m][v] = hn::MulAdd(row, columns[v], acc[m][v]);
  }
}

// max(0, value); a NaN stays.
HWY_INLINE FloatVec rectified(FloatVec value) { return hn::IfThenZeroElse(hn::Le(value, hn::Zero(Floats{})), value); }

// Bit j: x[j] is not zero, as a NaN is. count <= 64.
HWY_INLINE uint64_t nonzero_bits(const float* x, int count) {
  const Floats d;
  uint64_t bits = 0;
  int j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    uint8_t bytes[8] = {};
    hn::StoreMaskBits(d, hn::Not(hn::Eq(hn::LoadU(d, x + j), hn::Zero(d))), bytes);
    for (int i = 0; i < (kLanes + 7) / 8; ++i) bits |= uint64_t{bytes[i]} << (j + 8 * i);
  }
  for (; j < count; ++j) bits |= uint64_t{x[j] != 0} << j;
  return bits;
}

// Memory that will be read next: `rows` rows of `columns` floats, ld apart.
struct NextBlock {
  const float* data = nullptr;
  int rows = 0, columns = 0;
  ptrdiff_t ld = 0;

  // The share of the rows that a caller who has done [begin, end) of `total` should have asked for meanwhile.
  NextBlock part(int64_t begin, int64_t end, int64_t total) const {
    const auto first = static_cast<int>(begin * rows / total), last = static_cast<int>(end * rows / total);
    return {data + first * ld, last - first, columns, ld};
  }
};

struct GemmLoop {
  int KO = 1, KI = 0;
  ptrdiff_t a_m = 0, a_o = 0, a_i = 0;
  ptrdiff_t b_o = 0, b_i = 0;
  // Asked for bit by bit in the course of the reduction, so that it comes in while the multipliers work: asked for at
  // once it would fill the queue of outstanding lines, and everything behind it would wait. Only some strides do.
  NextBlock next = {};
};

// What happens before and after the reduction.
struct GemmEnds {
  const float* bias = nullptr;  // start value per column; null: zero
  bool accumulate = false;      // start from C instead
  bool relu = false;            // C = max(0, C) at the end
};

// Row strides a_m that tiles know when they are compiled, so that addresses take no registers: 1, pixels of 32 and 64
// channels, and spectra of as many (conv2d_fft_simd.cc).
inline constexpr int kSpectrumStride32 = 12304, kSpectrumStride64 = 24592;

using GemmTile = void (*)(const GemmLoop&, const GemmEnds&, const float*, const float*, float*, ptrdiff_t);

// The tile function for `rows` <= kMaxRows, `vectors` <= kMaxVectors, and a row stride and next block of the loop.
// Defined in gemm_simd.cc, once for all operators: each is a loop of a few hundred instructions.
GemmTile gemm_tile_for(int rows, int vectors, const GemmLoop& loop);

// Rows are split into equal tiles, so that no short tile leaves the multipliers idle.
inline int tile_count(int rows) { return (rows + kMaxRows - 1) / kMaxRows; }
inline int tile_begin(int tile, int tiles, int rows) { return static_cast<int>(int64_t{tile} * rows / tiles); }

// C(M, columns) for one panel of at most kPanel columns. b has readable, finite columns up to the next multiple of
// kLanes; so has ends.bias. C is written only within `columns`. rows_of(begin, rows, loop) gives A for
// rows [begin, begin + rows) and may adapt the strides.
template <typename RowsOf>
HWY_INLINE void gemm_panel_rows(GemmLoop loop, const GemmEnds& ends, int M, int columns, const RowsOf& rows_of,
                                const float* b, float* c, ptrdiff_t ldc) {
  const int vectors = (columns + kLanes - 1) / kLanes, width = vectors * kLanes;
  const int tiles = tile_count(M);
  HWY_ALIGN float edge[kMaxRows * kPanel];
  for (int t = 0; t < tiles; ++t) {
    const int begin = tile_begin(t, tiles, M);
    const int rows = tile_begin(t + 1, tiles, M) - begin;
    const float* a = rows_of(begin, rows, loop);
    const GemmTile tile = gemm_tile_for(rows, vectors, loop);
    float* out = c + begin * ldc;
    if (columns == width) {
      tile(loop, ends, a, b, out, ldc);
      continue;
    }
    if (ends.accumulate) {
      std::fill_n(edge, rows * width, 0.0f);
      for (int m = 0; m < rows; ++m) std::copy_n(out + m * ldc, columns, edge + m * width);
    }
    tile(loop, ends, a, b, edge, width);
    for (int m = 0; m < rows; ++m) std::copy_n(edge + m * width, columns, out + m * ldc);
  }
}

// The same with rows of A at a, loop.a_m apart.
HWY_INLINE void gemm_panel(const GemmLoop& loop, const GemmEnds& ends, int M, int columns, const float* a,
                           const float* b, float* c, ptrdiff_t ldc) {
  gemm_panel_rows(
      loop, ends, M, columns, [&](int begin, int, GemmLoop&) { return a + begin * loop.a_m; }, b, c, ldc);
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_KERNELS_GEMM_INL_H_
