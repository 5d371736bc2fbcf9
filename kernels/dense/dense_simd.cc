// SPDX-License-Identifier: Apache-2.0
// Dense layers as register tiles of gemm-inl.h. Weights are read from memory once per pass: forward and the input
// gradient copy a panel of columns into the second-level cache and use it for all examples; the weight gradient writes
// each tile once, with the slices' sums combined along the tree while they are in registers.
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/dense/dense_simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/arguments.h"
#include "kernels/dense/dense_grad-inl.h"
#include "kernels/dense/dense_impl.h"
#include "kernels/dense/dense_tiles-inl.h"
#include "kernels/scratch.h"
#include "kernels/tree_sum-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

// Scratch slots of one task; those of the calling thread, which all read, are below.
enum Slot { kPanelSlot = 2, kRowsSlot = 3 };

// Rows of the reduction done at a time: a panel of weights (32 KB with AVX-512) and a tile of examples share the
// first-level cache.
inline constexpr int kChunk = 256;

// Panels that forward copies at once: pieces of 256 bytes of a row of weights, as each row lies on a page of its own
// and finding the page costs more than reading a line of it.
inline constexpr int kForwardPanels = 2;

int dense_panel() { return kPanel; }
int dense_fwd_columns() { return kForwardPanels * kPanel; }
int dense_rows() { return kMaxRows; }
int dense_tiles(int rows) { return tile_count(rows); }
int dense_padded(int columns) { return round_up(columns, kLanes); }

// (rows, ld) columns [0, columns) -> panels of (rows, kPanel) behind each other; the last one has the columns that are
// left, rounded up to whole vectors, zero behind.
HWY_INLINE void pack_panels(const float* from, int rows, ptrdiff_t ld, int columns, float* to) {
  const Floats d;
  const int whole = columns / kPanel * kPanel, rest = columns - whole, rest_width = round_up(rest, kLanes);
  float* const last = to + ptrdiff_t{whole} * rows;
  for (int r = 0; r < rows; ++r, from += ld) {
    float* out = to + ptrdiff_t{r} * kPanel;
    for (int c = 0; c < whole; c += kPanel, out += ptrdiff_t{rows} * kPanel) {
      for (int v = 0; v < kPanel; v += kLanes) hn::StoreU(hn::LoadU(d, from + c + v), d, out + v);
    }
    if (rest == 0) continue;
    std::copy_n(from + whole, rest, last + ptrdiff_t{r} * rest_width);
    std::fill_n(last + ptrdiff_t{r} * rest_width + rest, rest_width - rest, 0.0f);
  }
}

// A 4 x 4 block transposed: to[j * ld_to + i] = from[i * ld_from + j].
HWY_INLINE void transpose_block(const float* from, ptrdiff_t ld_from, float* to, ptrdiff_t ld_to) {
#if HWY_TARGET == HWY_SCALAR
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) to[j * ld_to + i] = from[i * ld_from + j];
  }
#else
  const hn::FixedTag<float, 4> d;
  const hn::Repartition<double, decltype(d)> d64;
  const auto r0 = hn::LoadU(d, from), r1 = hn::LoadU(d, from + ld_from);
  const auto r2 = hn::LoadU(d, from + 2 * ld_from), r3 = hn::LoadU(d, from + 3 * ld_from);
  const auto lo01 = hn::BitCast(d64, hn::InterleaveLower(d, r0, r1)),
             hi01 = hn::BitCast(d64, hn::InterleaveUpper(d, r0, r1));
  const auto lo23 = hn::BitCast(d64, hn::InterleaveLower(d, r2, r3)),
             hi23 = hn::BitCast(d64, hn::InterleaveUpper(d, r2, r3));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, lo01, lo23)), d, to);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, lo01, lo23)), d, to + ld_to);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, hi01, hi23)), d, to + 2 * ld_to);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, hi01, hi23)), d, to + 3 * ld_to);
#endif
}

// A kLanes x kLanes block transposed. Whole vectors on both sides: rows of a wide layer lie pages apart and share sets
// of the first-level cache, so that each of their lines is best read once.
template <class D>  // so that only the branch of this vector length is compiled
HWY_INLINE void transpose_vectors(D d, const float* from, ptrdiff_t ld_from, float* to, ptrdiff_t ld_to) {
#if HWY_TARGET == HWY_SCALAR
  (void)d, (void)ld_from, (void)ld_to;
  *to = *from;
#else
  const hn::Repartition<double, D> d64;
  // After the 4 x 4 transposes within 128-bit blocks: block b of t[4 * g + k] is column 4 * b + k of rows 4 * g ….
  FloatVec t[kLanes];
#pragma GCC unroll 4
  for (int g = 0; g < kLanes; g += 4) {
    const auto r0 = hn::LoadU(d, from + g * ld_from), r1 = hn::LoadU(d, from + (g + 1) * ld_from);
    const auto r2 = hn::LoadU(d, from + (g + 2) * ld_from), r3 = hn::LoadU(d, from + (g + 3) * ld_from);
    const auto lo01 = hn::BitCast(d64, hn::InterleaveLower(d, r0, r1)),
               hi01 = hn::BitCast(d64, hn::InterleaveUpper(d, r0, r1));
    const auto lo23 = hn::BitCast(d64, hn::InterleaveLower(d, r2, r3)),
               hi23 = hn::BitCast(d64, hn::InterleaveUpper(d, r2, r3));
    t[g] = hn::BitCast(d, hn::InterleaveLower(d64, lo01, lo23));
    t[g + 1] = hn::BitCast(d, hn::InterleaveUpper(d64, lo01, lo23));
    t[g + 2] = hn::BitCast(d, hn::InterleaveLower(d64, hi01, hi23));
    t[g + 3] = hn::BitCast(d, hn::InterleaveUpper(d64, hi01, hi23));
  }
  // What is left is to transpose the blocks.
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    float* const out = to + k * ld_to;
    if constexpr (hn::MaxLanes(D{}) == 4) {
      hn::StoreU(t[k], d, out);
    } else if constexpr (hn::MaxLanes(D{}) == 8) {
      hn::StoreU(hn::ConcatLowerLower(d, t[4 + k], t[k]), d, out);
      hn::StoreU(hn::ConcatUpperUpper(d, t[4 + k], t[k]), d, out + 4 * ld_to);
    } else {
      const auto even_lo = hn::ConcatLowerLower(d, t[8 + k], t[k]),
                 odd_lo = hn::ConcatLowerLower(d, t[12 + k], t[4 + k]);
      const auto even_hi = hn::ConcatUpperUpper(d, t[8 + k], t[k]),
                 odd_hi = hn::ConcatUpperUpper(d, t[12 + k], t[4 + k]);
      hn::StoreU(hn::OddEvenBlocks(hn::SwapAdjacentBlocks(odd_lo), even_lo), d, out);
      hn::StoreU(hn::OddEvenBlocks(odd_lo, hn::SwapAdjacentBlocks(even_lo)), d, out + 4 * ld_to);
      hn::StoreU(hn::OddEvenBlocks(hn::SwapAdjacentBlocks(odd_hi), even_hi), d, out + 8 * ld_to);
      hn::StoreU(hn::OddEvenBlocks(odd_hi, hn::SwapAdjacentBlocks(even_hi)), d, out + 12 * ld_to);
    }
  }
#endif
}

// to (columns of `from`, width) = transpose of `rows` rows of from (rows, ld), zero behind column `rows`.
HWY_INLINE void pack_transposed(const float* from, int rows, ptrdiff_t ld, int columns, int width, float* to) {
  const int vector_rows = rows / kLanes * kLanes, vector_columns = columns / kLanes * kLanes;
  for (int r = 0; r < vector_rows; r += kLanes) {
    for (int c = 0; c < vector_columns; c += kLanes)
      transpose_vectors(Floats{}, from + r * ld + c, ld, to + ptrdiff_t{c} * width + r, width);
  }
  // Columns of one row at a time would be slow for the tiles of examples, which are shorter than a vector.
  const int whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  for (int r = 0; r < whole_rows; r += 4) {
    for (int c = r < vector_rows ? vector_columns : 0; c < whole_columns; c += 4)
      transpose_block(from + r * ld + c, ld, to + ptrdiff_t{c} * width + r, width);
  }
  for (int c = 0; c < columns; ++c) {
    for (int r = c < whole_columns ? whole_rows : 0; r < rows; ++r) to[ptrdiff_t{c} * width + r] = from[r * ld + c];
    std::fill(to + ptrdiff_t{c} * width + rows, to + ptrdiff_t{c} * width + width, 0.0f);
  }
}

// Rows of x (N, K) as register tiles want them: tile after tile, each (K, rows of the tile). Packs tile t.
void dense_pack_tile(int64_t N, int K, int t, const float* x, float* packed) {
  const int tiles = tile_count(static_cast<int>(N)), begin = tile_begin(t, tiles, static_cast<int>(N));
  const int rows = tile_begin(t + 1, tiles, static_cast<int>(N)) - begin;
  pack_transposed(x + ptrdiff_t{begin} * K, rows, K, K, rows, packed + ptrdiff_t{begin} * K);
}

// Outputs [o, o + columns) of all examples, at most kForwardPanels panels.
struct ForwardPanels {
  int o, columns, width;
  HWY_ALIGN float bias[kForwardPanels * kPanel] = {};

  ForwardPanels(const DenseParams& p, int first, const float* b)
      : o(first), columns(std::min(kForwardPanels * kPanel, p.O - o)), width(round_up(columns, kLanes)) {
    std::copy_n(b + o, columns, bias);
  }
};

// Their part of the reduction over the inputs [i, i + rows), one panel; x packed in tiles.
HWY_INLINE void dense_fwd_panel(const DenseParams& p, const ForwardPanels& f, int i, int rows, int c, const float* x,
                                const float* panel, const NextBlock& next, float* y) {
  const int wide = std::min(kPanel, f.columns - c);
  const GemmEnds ends{.bias = f.bias + c, .accumulate = i > 0, .relu = p.relu && i + rows == p.I};
  packed_product(p.N, p.I, i, rows, wide, ends, x, panel, round_up(wide, kLanes), y + f.o + c, p.O, next);
}

void dense_fwd_panels(const DenseParams& p, int o, const float* x, const float* w, const float* b, float* y) {
  const ForwardPanels f(p, o, b);
  float* panels = scratch(kPanelSlot, static_cast<size_t>(std::min(p.I, kChunk) * f.width));
  for (int i = 0; i < p.I; i += kChunk) {
    const int rows = std::min(kChunk, p.I - i), rows_after = std::min(kChunk, p.I - (i + rows));
    pack_panels(w + ptrdiff_t{i} * p.O + o, rows, p.O, f.columns, panels);
    for (int c = 0; c < f.columns; c += kPanel) {
      const int begin = rows_after * c / f.columns, end = rows_after * std::min(c + kPanel, f.columns) / f.columns;
      const NextBlock next{w + ptrdiff_t{i + rows + begin} * p.O + o, end - begin, f.columns, p.O};
      dense_fwd_panel(p, f, i, rows, c, x, panels + ptrdiff_t{c} * rows, next, y);
    }
  }
}

// The weights of one panel of input gradients from output o on; none behind the last input.
NextBlock weight_block(const DenseParams& p, int i, int o, const float* w) {
  if (i >= p.I) return {};
  return {w + ptrdiff_t{i} * p.O + o, std::min(kPanel, p.I - i), std::min(kChunk, p.O - o), p.O};
}

// One panel of input gradients [i, i + columns) for all examples; grad masked and packed in tiles. `then`: where the
// panel begins that this thread is likely to do next.
void dense_bwd_data_panel(const DenseParams& p, int i, int then, const float* w, const float* grad, float* grad_x) {
  const int columns = std::min(kPanel, p.I - i), width = round_up(columns, kLanes);
  float* panel = scratch(kPanelSlot, static_cast<size_t>(std::min(p.O, kChunk) * width));
  for (int o = 0; o == 0 || o < p.O; o += kChunk) {
    const int rows = std::min(kChunk, p.O - o);
    pack_transposed(w + ptrdiff_t{i} * p.O + o, columns, p.O, rows, width, panel);
    const int after = o + rows;
    const NextBlock next = after < p.O ? weight_block(p, i, after, w) : weight_block(p, then, 0, w);
    packed_product(p.N, p.O, o, rows, columns, {.accumulate = o > 0}, grad, panel, width, grad_x + i, p.I, next);
  }
}

// masked (N, padded O) = grad_y where the output passed the ReLU, zero elsewhere and behind.
void dense_mask_row(const DenseParams& p, int ld, const float* y, const float* grad_y, float* masked) {
  for (int o = 0; o < p.O; ++o) masked[o] = p.relu && y[o] <= 0 ? 0.0f : grad_y[o];
  std::fill(masked + p.O, masked + ld, 0.0f);
}

template <int MR, int NV>
struct GradSums {
  FloatVec acc[MR][NV];

  HWY_INLINE void clear() {
#pragma GCC unroll 28
    for (int i = 0; i < MR * NV; ++i) acc[i / NV][i % NV] = hn::Zero(Floats{});
  }
  // One example more.
  HWY_INLINE void add(const float* HWY_RESTRICT a, const float* HWY_RESTRICT grad) {
    add_outer_product<MR, NV>(a, 1, grad, acc);
  }
  HWY_INLINE void add(const GradSums& other) {
#pragma GCC unroll 28
    for (int i = 0; i < MR * NV; ++i) acc[i / NV][i % NV] = hn::Add(acc[i / NV][i % NV], other.acc[i / NV][i % NV]);
  }
  HWY_INLINE void load(const float* from) {
#pragma GCC unroll 28
    for (int i = 0; i < MR * NV; ++i) acc[i / NV][i % NV] = hn::Load(Floats{}, from + i * kLanes);
  }
  HWY_INLINE void store(float* to, ptrdiff_t ld) const {
#pragma GCC unroll 28
    for (int i = 0; i < MR * NV; ++i) hn::StoreU(acc[i / NV][i % NV], Floats{}, to + i / NV * ld + i % NV * kLanes);
  }
};

// Sums of slice s of MR inputs; a: (examples, ld_a).
template <int MR, int NV>
HWY_INLINE void slice_sums(const int64_t* offsets, int s, const float* a, ptrdiff_t ld_a, const float* grad,
                           ptrdiff_t ld_grad, GradSums<MR, NV>& sums) {
  sums.clear();
  for (int64_t n = offsets[s]; n < offsets[s + 1]; ++n) sums.add(a + n * ld_a, grad + n * ld_grad);
}

// Sums of slices s and s + 1 at once, added: siblings need not be put aside for one another.
template <int MR, int NV>
HWY_INLINE void pair_sums(const int64_t* offsets, int s, const float* a, ptrdiff_t ld_a, const float* grad,
                          ptrdiff_t ld_grad, GradSums<MR, NV>& sums) {
  GradSums<MR, NV> second;
  sums.clear();
  second.clear();
  const float *a1 = a + offsets[s] * ld_a, *a2 = a + offsets[s + 1] * ld_a;
  const float *g1 = grad + offsets[s] * ld_grad, *g2 = grad + offsets[s + 1] * ld_grad;
  const int64_t n1 = offsets[s + 1] - offsets[s], n2 = offsets[s + 2] - offsets[s + 1], both = std::min(n1, n2);
  for (int64_t n = 0; n < both; ++n, a1 += ld_a, a2 += ld_a, g1 += ld_grad, g2 += ld_grad) {
    sums.add(a1, g1);
    second.add(a2, g2);
  }
  for (int64_t n = both; n < n1; ++n, a1 += ld_a, g1 += ld_grad) sums.add(a1, g1);
  for (int64_t n = both; n < n2; ++n, a2 += ld_a, g2 += ld_grad) second.add(a2, g2);
  sums.add(second);
}

// `count` slices as pairs of MR inputs, MR * NV * 2 accumulators; finished siblings are added while they are there.
template <int MR, int NV>
HWY_INLINE void grad_half(const int64_t* offsets, int count, const float* HWY_RESTRICT a, ptrdiff_t ld_a,
                          const float* HWY_RESTRICT grad, ptrdiff_t ld_grad, float* HWY_RESTRICT out,
                          ptrdiff_t ld_out) {
  HWY_ALIGN float pending[kMaxTreeDepth][MR * NV * kLanes];
  int depth = 0;
  GradSums<MR, NV> sums;
  for (int s = 0;; s += 2) {
    pair_sums(offsets, s, a, ld_a, grad, ld_grad, sums);
    // After pair s, as many pairs of siblings are complete as s / 2 has trailing one bits.
    for (int bits = s / 2; (bits & 1) != 0; bits >>= 1) {
      GradSums<MR, NV> lower;
      lower.load(pending[--depth]);
      lower.add(sums);
      sums = lower;
    }
    if (s + 2 == count) break;
    sums.store(pending[depth++], NV * kLanes);
  }
  sums.store(out, ld_out);
}

template <int MR, int NV>
HWY_NOINLINE void grad_tile(const int64_t* offsets, int count, const float* HWY_RESTRICT a,
                            const float* HWY_RESTRICT grad, ptrdiff_t ld_grad, float* HWY_RESTRICT out,
                            ptrdiff_t ld_out) {
  // The tile is written at the end; fetching its lines meanwhile hides that a store to memory reads first.
#pragma GCC unroll 28
  for (int i = 0; i < MR * NV; ++i) __builtin_prefetch(out + i / NV * ld_out + i % NV * kLanes, 1, 3);
  if (count == 1) {
    GradSums<MR, NV> sums;
    slice_sums(offsets, 0, a, MR, grad, ld_grad, sums);
    return sums.store(out, ld_out);
  }
  constexpr int kLower = (MR + 1) / 2;
  grad_half<kLower, NV>(offsets, count, a, MR, grad, ld_grad, out, ld_out);
  if constexpr (MR > 1)
    grad_half<MR / 2, NV>(offsets, count, a + kLower, MR, grad, ld_grad, out + kLower * ld_out, ld_out);
}

template <int NV, int MR = kMaxRows>
HWY_INLINE GradTile find_grad_tile(int rows) {
  if constexpr (MR == 0) {
    return nullptr;
  } else {
    return rows == MR ? &grad_tile<MR, NV> : find_grad_tile<NV, MR - 1>(rows);
  }
}

GradTile grad_tile_for(int rows, int vectors) {
  return vectors == 1 ? find_grad_tile<1>(rows) : find_grad_tile<2>(rows);
}

// One tile of at most kPanel columns.
HWY_INLINE void grad_panel(const int64_t* offsets, int count, int rows, int columns, const float* a, const float* grad,
                           ptrdiff_t ld_grad, float* out, ptrdiff_t ld_out) {
  const int vectors = (columns + kLanes - 1) / kLanes, width = vectors * kLanes;
  const GradTile tile = grad_tile_for(rows, vectors);
  if (columns == width) return tile(offsets, count, a, grad, ld_grad, out, ld_out);
  HWY_ALIGN float edge[kMaxRows * kPanel];
  tile(offsets, count, a, grad, ld_grad, edge, width);
  for (int m = 0; m < rows; ++m) std::copy_n(edge + m * width, columns, out + m * ld_out);
}

// Weight gradient of inputs [i, i + rows), rows <= kMaxRows, all outputs, all subtrees. x == null: of the bias, which
// is the weight of an input that is always one.
void dense_bwd_filter_rows(const DenseParams& p, const GradSlices& slices, int i, int rows, const float* x,
                           const float* grad, const GradOutput& out) {
  const int ld = round_up(p.O, kLanes);
  float* packed = scratch(kRowsSlot, static_cast<size_t>(p.N * rows + kPackSlack));
  if (x != nullptr) pack_inputs(x, p.N, p.I, i, rows, packed);
  if (x == nullptr) std::fill_n(packed, p.N * rows, 1.0f);
  int begin = 0;
  for (size_t t = 0; t < slices.subtrees.size(); begin += slices.subtrees[t++]) {
    float* partial = out.data + static_cast<ptrdiff_t>(t) * out.stride + ptrdiff_t{i} * p.O;
    for (int o = 0; o < p.O; o += kPanel) {
      grad_panel(slices.offsets.data() + begin, slices.subtrees[t], rows, std::min(kPanel, p.O - o), packed, grad + o,
                 ld, partial + o, p.O);
    }
  }
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::simd {

HWY_EXPORT(dense_panel);
HWY_EXPORT(dense_fwd_columns);
HWY_EXPORT(dense_rows);
HWY_EXPORT(dense_tiles);
HWY_EXPORT(dense_padded);
HWY_EXPORT(dense_pack_tile);
HWY_EXPORT(dense_fwd_panels);
HWY_EXPORT(dense_bwd_data_panel);
HWY_EXPORT(dense_mask_row);
HWY_EXPORT(dense_bwd_filter_rows);

namespace {

constexpr int kMaskedGradSlot = 0, kTilesSlot = 1;

// grad_y through the ReLU, rows `ld` floats apart; grad_y itself where nothing has to change.
const float* masked_grad(const KernelContext& ctx, const DenseParams& p, int ld, const float* y, const float* grad_y) {
  if (!p.relu && ld == p.O) return grad_y;
  float* masked = scratch(kMaskedGradSlot, static_cast<size_t>(p.N * ld));
  parallel_for(ctx.pool, p.N, [&](int64_t n, int) {
    HWY_DYNAMIC_DISPATCH(dense_mask_row)
    (p, ld, offset_or_null(y, n * p.O), grad_y + n * p.O, masked + n * ld);
  });
  return masked;
}

}  // namespace

const float* dense_pack_tiles(const KernelContext& ctx, int64_t N, int K, const float* x) {
  float* packed = scratch(kTilesSlot, static_cast<size_t>(N * K));
  parallel_for(ctx.pool, HWY_DYNAMIC_DISPATCH(dense_tiles)(static_cast<int>(N)), [&](int64_t t, int) {
    HWY_DYNAMIC_DISPATCH(dense_pack_tile)(N, K, static_cast<int>(t), x, packed);
  });
  return packed;
}

absl::Status dense_fwd(const KernelContext& ctx, const DenseParams& p, const float* x, const float* w, const float* b,
                       float* y) {
  const float* tiles = dense_pack_tiles(ctx, p.N, p.I, x);
  const int columns = HWY_DYNAMIC_DISPATCH(dense_fwd_columns)();
  parallel_for(ctx.pool, (p.O + columns - 1) / columns, [&](int64_t i, int) {
    HWY_DYNAMIC_DISPATCH(dense_fwd_panels)(p, static_cast<int>(i) * columns, tiles, w, b, y);
  });
  return absl::OkStatus();
}

absl::Status dense_bwd_data(const KernelContext& ctx, const DenseParams& p, const float* w, const float* y,
                            const float* grad_y, float* grad_x) {
  const int panel = HWY_DYNAMIC_DISPATCH(dense_panel)();
  const float* grad = dense_pack_tiles(ctx, p.N, p.O, masked_grad(ctx, p, p.O, y, grad_y));
  parallel_for(ctx.pool, (p.I + panel - 1) / panel, [&](int64_t i, int) {
    const int64_t begin = i * panel, then = std::min<int64_t>(begin + thread_count(ctx.pool) * panel, p.I);
    HWY_DYNAMIC_DISPATCH(dense_bwd_data_panel)
    (p, static_cast<int>(begin), static_cast<int>(then), w, grad, grad_x);
  });
  return absl::OkStatus();
}

absl::Status dense_bwd_filter(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices, const float* x,
                              const float* y, const float* grad_y, GradOutput grad_w, GradOutput grad_b) {
  const float* grad = masked_grad(ctx, p, HWY_DYNAMIC_DISPATCH(dense_padded)(p.O), y, grad_y);
  const int rows = HWY_DYNAMIC_DISPATCH(dense_rows)();
  const int64_t tiles = (p.I + rows - 1) / rows;
  parallel_for(ctx.pool, tiles + 1, [&](int64_t t, int) {
    if (t == tiles) return HWY_DYNAMIC_DISPATCH(dense_bwd_filter_rows)(p, slices, 0, 1, nullptr, grad, grad_b);
    const int i = static_cast<int>(t * p.I / tiles), end = static_cast<int>((t + 1) * p.I / tiles);
    HWY_DYNAMIC_DISPATCH(dense_bwd_filter_rows)(p, slices, i, end - i, x, grad, grad_w);
  });
  return absl::OkStatus();
}

}  // namespace lockstep::simd
#endif  // HWY_ONCE
