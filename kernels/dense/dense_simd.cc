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

#include "kernels/dense/dense_impl.h"
#include "kernels/gemm-inl.h"
#include "kernels/scratch.h"
#include "kernels/tree_sum-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

// Scratch slots of one task; slot 0 holds the masked gradient of the calling thread, which all read.
enum Slot { kPanelSlot = 1, kRowsSlot = 2 };

// Rows of the reduction copied at a time: 128 KB of panel beside 1.5 KB of each example.
inline constexpr int kChunk = 1024;

int dense_panel() { return kPanel; }
int dense_rows() { return kMaxRows; }
int dense_padded(int columns) { return round_up(columns, kLanes); }

// (rows, ld) columns [0, columns) -> (rows, width), zero behind.
HWY_INLINE void pack_panel(const float* from, int rows, ptrdiff_t ld, int columns, int width, float* to) {
  if (columns == width) {
    const Floats d;
    for (int r = 0; r < rows; ++r, from += ld, to += width) {
      for (int c = 0; c < width; c += kLanes) hn::StoreU(hn::LoadU(d, from + c), d, to + c);
    }
    return;
  }
  for (int r = 0; r < rows; ++r, from += ld, to += width) {
    std::copy_n(from, columns, to);
    std::fill_n(to + columns, width - columns, 0.0f);
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

// to (columns of `from`, width) = transpose of `rows` rows of from (rows, ld), zero behind column `rows`.
HWY_INLINE void pack_transposed(const float* from, int rows, ptrdiff_t ld, int columns, int width, float* to) {
  const int whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  for (int r = 0; r < whole_rows; r += 4) {
    for (int c = 0; c < whole_columns; c += 4)
      transpose_block(from + r * ld + c, ld, to + ptrdiff_t{c} * width + r, width);
  }
  for (int c = 0; c < columns; ++c) {
    for (int r = c < whole_columns ? whole_rows : 0; r < rows; ++r) to[ptrdiff_t{c} * width + r] = from[r * ld + c];
    std::fill(to + ptrdiff_t{c} * width + rows, to + ptrdiff_t{c} * width + width, 0.0f);
  }
}

// One panel of outputs [o, o + columns) for all examples.
void dense_fwd_panel(const DenseParams& p, int o, const float* x, const float* w, const float* b, float* y) {
  const int columns = std::min(kPanel, p.O - o), width = round_up(columns, kLanes);
  HWY_ALIGN float bias[kPanel] = {};
  std::copy_n(b + o, columns, bias);
  float* panel = scratch(kPanelSlot, static_cast<size_t>(std::min(p.I, kChunk) * width));
  for (int i = 0; i == 0 || i < p.I; i += kChunk) {
    const int rows = std::min(kChunk, p.I - i);
    pack_panel(w + ptrdiff_t{i} * p.O + o, rows, p.O, columns, width, panel);
    const GemmLoop loop{.KI = rows, .a_m = p.I, .a_i = 1, .b_i = width};
    const GemmEnds ends{.bias = bias, .accumulate = i > 0, .relu = p.relu && i + rows == p.I};
    gemm_panel(loop, ends, static_cast<int>(p.N), columns, x + i, panel, y + o, p.O);
  }
}

// One panel of input gradients [i, i + columns) for all examples; grad is already masked.
void dense_bwd_data_panel(const DenseParams& p, int i, const float* w, const float* grad, float* grad_x) {
  const int columns = std::min(kPanel, p.I - i), width = round_up(columns, kLanes);
  float* panel = scratch(kPanelSlot, static_cast<size_t>(std::min(p.O, kChunk) * width));
  for (int o = 0; o == 0 || o < p.O; o += kChunk) {
    const int rows = std::min(kChunk, p.O - o);
    pack_transposed(w + ptrdiff_t{i} * p.O + o, columns, p.O, rows, width, panel);
    const GemmLoop loop{.KI = rows, .a_m = p.O, .a_i = 1, .b_i = width};
    gemm_panel(loop, GemmEnds{.accumulate = o > 0}, static_cast<int>(p.N), columns, grad + o, panel, grad_x + i, p.I);
  }
}

// masked (N, padded O) = grad_y where the output passed the ReLU, zero elsewhere and behind.
void dense_mask_row(const DenseParams& p, int ld, const float* y, const float* grad_y, float* masked) {
  for (int o = 0; o < p.O; ++o) masked[o] = p.relu && y[o] <= 0 ? 0.0f : grad_y[o];
  std::fill(masked + p.O, masked + ld, 0.0f);
}

// The weight gradient of `rows` inputs for one panel of outputs and one subtree: `count` slices, a power of two.
HWY_INLINE void grad_tile(const int64_t* offsets, int count, int rows, int columns, const float* a, const float* grad,
                          ptrdiff_t ld_grad, float* out, ptrdiff_t ld_out) {
  HWY_ALIGN float pending[kMaxTreeDepth][kMaxRows * kPanel];
  HWY_ALIGN float edge[kMaxRows * kPanel];
  const float* add[kMaxTreeDepth];
  const int vectors = (columns + kLanes - 1) / kLanes, width = vectors * kLanes;
  const GemmTile tile = gemm_tile_for(rows, vectors, 1);
  int depth = 0;
  for (int s = 0; s < count; ++s) {
    // After slice s, as many pairs of siblings are complete as s has trailing one bits.
    int merges = 0;
    while (((s >> merges) & 1) != 0) ++merges;
    for (int t = 0; t < merges; ++t) add[t] = pending[--depth];
    const bool last = s == count - 1;
    const bool direct = last && columns == width;
    float* to = direct ? out : last ? edge : pending[depth++];
    const GemmLoop loop{.KI = static_cast<int>(offsets[s + 1] - offsets[s]), .a_m = 1, .a_i = rows, .b_i = ld_grad};
    tile(loop, GemmEnds{.add = add, .add_count = merges}, a + offsets[s] * rows, grad + offsets[s] * ld_grad, to,
         direct ? ld_out : width);
  }
  if (columns == width) return;
  for (int m = 0; m < rows; ++m) std::copy_n(edge + m * width, columns, out + m * ld_out);
}

// Weight gradient of inputs [i, i + rows), rows <= kMaxRows, all outputs, all subtrees. x == null: of the bias, which
// is the weight of an input that is always one.
void dense_bwd_filter_rows(const DenseParams& p, const GradSlices& slices, int i, int rows, const float* x,
                           const float* grad, const GradOutput& out) {
  const int ld = round_up(p.O, kLanes);
  float* packed = scratch(kRowsSlot, static_cast<size_t>(p.N * rows));
  for (int64_t n = 0; n < p.N; ++n) {
    if (x != nullptr) std::copy_n(x + n * p.I + i, rows, packed + n * rows);
    if (x == nullptr) std::fill_n(packed + n * rows, rows, 1.0f);
  }
  int begin = 0;
  for (size_t t = 0; t < slices.subtrees.size(); begin += slices.subtrees[t++]) {
    float* partial = out.data + static_cast<ptrdiff_t>(t) * out.stride + ptrdiff_t{i} * p.O;
    for (int o = 0; o < p.O; o += kPanel) {
      grad_tile(slices.offsets.data() + begin, slices.subtrees[t], rows, std::min(kPanel, p.O - o), packed, grad + o,
                ld, partial + o, p.O);
    }
  }
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::simd {

HWY_EXPORT(dense_panel);
HWY_EXPORT(dense_rows);
HWY_EXPORT(dense_padded);
HWY_EXPORT(dense_fwd_panel);
HWY_EXPORT(dense_bwd_data_panel);
HWY_EXPORT(dense_mask_row);
HWY_EXPORT(dense_bwd_filter_rows);

namespace {

constexpr int kMaskedGradSlot = 0;

// grad_y through the ReLU, rows `ld` floats apart; grad_y itself where nothing has to change.
const float* masked_grad(const KernelContext& ctx, const DenseParams& p, int ld, const float* y, const float* grad_y) {
  if (!p.relu && ld == p.O) return grad_y;
  float* masked = scratch(kMaskedGradSlot, static_cast<size_t>(p.N * ld));
  parallel_for(ctx.pool, p.N, [&](int64_t n, int) {
    HWY_DYNAMIC_DISPATCH(dense_mask_row)
    (p, ld, y == nullptr ? nullptr : y + n * p.O, grad_y + n * p.O, masked + n * ld);
  });
  return masked;
}

}  // namespace

absl::Status dense_fwd(const KernelContext& ctx, const DenseParams& p, const float* x, const float* w, const float* b,
                       float* y) {
  const int panel = HWY_DYNAMIC_DISPATCH(dense_panel)();
  parallel_for(ctx.pool, (p.O + panel - 1) / panel, [&](int64_t i, int) {
    HWY_DYNAMIC_DISPATCH(dense_fwd_panel)(p, static_cast<int>(i) * panel, x, w, b, y);
  });
  return absl::OkStatus();
}

absl::Status dense_bwd_data(const KernelContext& ctx, const DenseParams& p, const float* w, const float* y,
                            const float* grad_y, float* grad_x) {
  const int panel = HWY_DYNAMIC_DISPATCH(dense_panel)();
  const float* grad = masked_grad(ctx, p, p.O, y, grad_y);
  parallel_for(ctx.pool, (p.I + panel - 1) / panel, [&](int64_t i, int) {
    HWY_DYNAMIC_DISPATCH(dense_bwd_data_panel)(p, static_cast<int>(i) * panel, w, grad, grad_x);
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
