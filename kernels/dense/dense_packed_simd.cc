// SPDX-License-Identifier: Apache-2.0
// The forward pass with weights laid out once. Behind a ReLU most inputs are zero, 73 % of them in the reference
// network, and an input of zero adds nothing to any output: where enough are, only the others are multiplied, a row of
// weights each. The order of what is added stays the same, and so do the bits.
//
// Compute bound in the first-level cache with one load a multiply-add, as rows of weights serve one example at a time:
// 2 FLOP for each weight of an input that is not zero, against 14 rows a load in a tile. See docs/performance.md.
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/dense/dense_packed_simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/dense/dense_impl.h"
#include "kernels/dense/dense_nonzeros.h"
#include "kernels/dense/dense_tiles-inl.h"
#include "kernels/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

// Scratch slot of one task.
enum PackedSlot { kSumsSlot = 2 };

// Columns of weights that stay together: as many sums of one example as hide the latency of a multiply-add.
inline constexpr int kGroupVectors = 8;
inline constexpr int kGroup = kGroupVectors * kLanes;

// Rows of a group in the first-level cache (32 KB).
inline constexpr int kRowsAtOnce = 8192 / kGroup;

// Rows of a group that the register tiles take at once.
inline constexpr int kTileRows = 256;

// Fewer examples than this leave most rows of weights unused: only the others are asked for.
inline constexpr int64_t kFewExamples = 8;

// Entries of a list ahead whose rows are asked for then.
inline constexpr int kRowsAhead = 8;

// What lists may be longer than the inputs: whole vectors are written.
inline constexpr int kListSlack = kRowsAhead + kLanes;

int packed_group() { return kGroup; }
int packed_list(int I) { return round_up(I + kListSlack, kLanes); }
int packed_chunks(int I) { return (I + kRowsAtOnce - 1) / kRowsAtOnce; }

// Packed weights: groups of columns behind each other, each (I, columns rounded up to whole vectors); then for each
// group whether all of its weights are finite. Zero times anything else would be no zero.
int packed_width(const DenseParams& p, int o) { return round_up(std::min(kGroup, p.O - o), kLanes); }
int64_t packed_flag(const DenseParams& p, int o) { return int64_t{p.I} * round_up(p.O, kLanes) + o / kGroup; }
int64_t packed_size(const DenseParams& p) { return packed_flag(p, round_up(p.O, kGroup)); }

void pack_group(const DenseParams& p, int o, const float* w, float* packed) {
  const int columns = std::min(kGroup, p.O - o), width = packed_width(p, o);
  float* to = packed + ptrdiff_t{p.I} * o;
  bool finite = true;
  for (int i = 0; i < p.I; ++i, to += width) {
    const float* from = w + ptrdiff_t{i} * p.O + o;
    for (int c = 0; c < columns; ++c) {
      to[c] = from[c];
      finite = finite && std::isfinite(from[c]);
    }
    std::fill(to + columns, to + width, 0.0f);
  }
  packed[packed_flag(p, o)] = finite ? 1.0f : 0.0f;
}

// The inputs of one example that are not zero, in order: their numbers and values, and how many there are up to the end
// of each kRowsAtOnce. There is room for kListSlack more.
void find_nonzeros(int I, const float* x, const NonZeros& to) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  int count = 0, i = 0;
  for (int chunk = 0; chunk < packed_chunks(I); ++chunk) {
    const int end = std::min(I, (chunk + 1) * kRowsAtOnce);
    for (; i + kLanes <= end; i += kLanes) {
      const FloatVec values = hn::LoadU(d, x + i);
      const auto there = hn::Not(hn::Eq(values, hn::Zero(d)));  // NaN is there
      hn::StoreU(hn::Compress(hn::Iota(di, i), hn::RebindMask(di, there)), di, to.rows + count);
      hn::StoreU(hn::Compress(values, there), d, to.values + count);
      count += static_cast<int>(hn::CountTrue(d, there));
    }
    for (; i < end; ++i) {
      if (x[i] == 0) continue;
      to.rows[count] = i;
      to.values[count++] = x[i];
    }
    to.ends[chunk] = count;
  }
  std::fill_n(to.rows + count, kRowsAhead, 0);
}

// sums (NV vectors) += values of entries [begin, end) times their rows of w (I, NV vectors). Asks for rows of its own
// that come later, or for the lines [next, next_end) if there are any.
template <int NV>
HWY_NOINLINE void add_rows(const NonZeros& x, int begin, int end, const float* w, float* HWY_RESTRICT sums,
                           const float* next, const float* next_end) {
  constexpr int kLine = 64 / sizeof(float), kWidth = NV * kLanes;
  const Floats d;
  FloatVec acc[NV];
#pragma GCC unroll 8
  for (int v = 0; v < NV; ++v) acc[v] = hn::Load(d, sums + v * kLanes);
  const bool ahead = next == nullptr;
  for (int k = begin; k < end; ++k) {
    const float* HWY_RESTRICT row = w + ptrdiff_t{x.rows[k]} * kWidth;
    const FloatVec value = hn::Set(d, x.values[k]);
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[v] = hn::MulAdd(value, hn::LoadU(d, row + v * kLanes), acc[v]);
    if (ahead) {
      const float* later = w + ptrdiff_t{x.rows[k + kRowsAhead]} * kWidth;
#pragma GCC unroll 8
      for (int c = 0; c < kWidth; c += kLine) __builtin_prefetch(later + c, 0, 3);
    } else if (next < next_end) {
      __builtin_prefetch(next, 0, 2);
      next += kLine;
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < NV; ++v) hn::Store(acc[v], d, sums + v * kLanes);
  for (; next < next_end; next += kLine) __builtin_prefetch(next, 0, 2);
}

using AddRows = void (*)(const NonZeros&, int, int, const float*, float* HWY_RESTRICT, const float*, const float*);

template <int NV = kGroupVectors>
HWY_INLINE AddRows add_rows_for(int vectors) {
  if constexpr (NV == 0) {
    return nullptr;
  } else {
    return vectors == NV ? &add_rows<NV> : add_rows_for<NV - 1>(vectors);
  }
}

// Outputs of the group from o on, of the inputs that are not zero; with ReLU, so that no zero of the wrong sign is left
// where a product of zero would have given the other.
HWY_INLINE void fwd_nonzeros(const DenseParams& p, int o, const NonZeros* x, const float* w, const float* b, float* y) {
  const int columns = std::min(kGroup, p.O - o), width = packed_width(p, o), chunks = packed_chunks(p.I);
  float* const sums = scratch(kSumsSlot, static_cast<size_t>(p.N * width));
  for (int64_t n = 0; n < p.N; ++n) {
    std::copy_n(b + o, columns, sums + n * width);
    std::fill_n(sums + n * width + columns, width - columns, 0.0f);
  }
  const AddRows add = add_rows_for(width / kLanes);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const float* const after = w + ptrdiff_t{std::min((chunk + 1) * kRowsAtOnce, p.I)} * width;
    const ptrdiff_t size = ptrdiff_t{kRowsAtOnce} * width;
    for (int64_t n = 0; n < p.N; ++n) {
      const int begin = chunk > 0 ? x[n].ends[chunk - 1] : 0;
      const bool few = p.N < kFewExamples;
      add(x[n], begin, x[n].ends[chunk], w, sums + n * width, few ? nullptr : after + size * n / p.N,
          few ? nullptr : after + size * (n + 1) / p.N);
    }
  }
  for (int64_t n = 0; n < p.N; ++n) {
    for (int c = 0; c < columns; ++c) {
      const float sum = sums[n * width + c];
      y[n * p.O + o + c] = sum <= 0 ? 0.0f : sum;  // keeps NaN
    }
  }
}

// The same of all inputs; x packed in tiles.
HWY_INLINE void fwd_tiles(const DenseParams& p, int o, const float* x, const float* w, const float* b, float* y) {
  const int columns = std::min(kGroup, p.O - o), width = packed_width(p, o);
  HWY_ALIGN float bias[kGroup] = {};
  std::copy_n(b + o, columns, bias);
  for (int i = 0; i < p.I; i += kTileRows) {
    const int rows = std::min(kTileRows, p.I - i), share = rows * kPanel / width;
    for (int c = 0; c < columns; c += kPanel) {
      const GemmEnds ends{.bias = bias + c, .accumulate = i > 0, .relu = p.relu && i + rows == p.I};
      const NextBlock next{w + ptrdiff_t{i + rows} * width + ptrdiff_t{c / kPanel} * share * width, share, width,
                           width};
      packed_product(p.N, p.I, i, rows, std::min(kPanel, columns - c), ends, x, w + ptrdiff_t{i} * width + c, width,
                     y + o + c, p.O, next);
    }
  }
}

bool packed_finite(const DenseParams& p, const float* packed) {
  return std::find(packed + packed_flag(p, 0), packed + packed_size(p), 0.0f) == packed + packed_size(p);
}

void fwd_packed_nonzeros(const DenseParams& p, int o, const NonZeros* x, const float* packed, const float* b,
                         float* y) {
  fwd_nonzeros(p, o, x, packed + ptrdiff_t{p.I} * o, b, y);
}

void fwd_packed_tiles(const DenseParams& p, int o, const float* x, const float* packed, const float* b, float* y) {
  fwd_tiles(p, o, x, packed + ptrdiff_t{p.I} * o, b, y);
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::simd {

HWY_EXPORT(packed_group);
HWY_EXPORT(packed_list);
HWY_EXPORT(packed_chunks);
HWY_EXPORT(packed_size);
HWY_EXPORT(pack_group);
HWY_EXPORT(find_nonzeros);
HWY_EXPORT(packed_finite);
HWY_EXPORT(fwd_packed_nonzeros);
HWY_EXPORT(fwd_packed_tiles);

namespace {

// Share of inputs that are not zero up to which a row for each of them is faster than tiles of all.
constexpr double kSparse = 0.6;

constexpr int kRowsSlot = 0, kValuesSlot = 0, kEndsSlot = 1;

// Calls task(first output) for each group of columns.
template <typename Task>
void for_groups(const KernelContext& ctx, const DenseParams& p, const Task& task) {
  const int columns = HWY_DYNAMIC_DISPATCH(packed_group)();
  parallel_for(ctx.pool, (p.O + columns - 1) / columns, [&](int64_t i, int) { task(static_cast<int>(i) * columns); });
}

// The lists of all examples. Valid until the next call.
std::vector<NonZeros> list_nonzeros(const KernelContext& ctx, const DenseParams& p, const float* x) {
  const auto length = HWY_DYNAMIC_DISPATCH(packed_list)(p.I), chunks = HWY_DYNAMIC_DISPATCH(packed_chunks)(p.I);
  auto* rows = scratch<int32_t>(kRowsSlot, static_cast<size_t>(p.N * length));
  auto* ends = scratch<int32_t>(kEndsSlot, static_cast<size_t>(p.N * chunks));
  float* values = scratch(kValuesSlot, static_cast<size_t>(p.N * length));
  std::vector<NonZeros> lists;
  for (int64_t n = 0; n < p.N; ++n) lists.push_back({rows + n * length, values + n * length, ends + n * chunks});
  parallel_for(ctx.pool, p.N, [&](int64_t n, int) {
    HWY_DYNAMIC_DISPATCH(find_nonzeros)(p.I, x + n * p.I, lists[static_cast<size_t>(n)]);
  });
  return lists;
}

bool are_sparse(const DenseParams& p, const std::vector<NonZeros>& lists) {
  const int chunks = HWY_DYNAMIC_DISPATCH(packed_chunks)(p.I);
  double count = 0;
  for (const NonZeros& list : lists) count += list.ends[chunks - 1];
  return count <= kSparse * static_cast<double>(p.N) * p.I;
}

}  // namespace

int64_t dense_packed_floats(const DenseParams& p) { return HWY_DYNAMIC_DISPATCH(packed_size)(p); }

absl::Status dense_pack(const KernelContext& ctx, const DenseParams& p, const float* w, float* packed) {
  for_groups(ctx, p, [&](int o) { HWY_DYNAMIC_DISPATCH(pack_group)(p, o, w, packed); });
  return absl::OkStatus();
}

absl::Status dense_fwd_packed(const KernelContext& ctx, const DenseParams& p, const float* x, const float* packed,
                              const float* b, float* y) {
  if (p.relu && HWY_DYNAMIC_DISPATCH(packed_finite)(p, packed)) {
    const std::vector<NonZeros> lists = list_nonzeros(ctx, p, x);
    if (are_sparse(p, lists)) {
      for_groups(ctx, p, [&](int o) { HWY_DYNAMIC_DISPATCH(fwd_packed_nonzeros)(p, o, lists.data(), packed, b, y); });
      return absl::OkStatus();
    }
  }
  const float* tiles = dense_pack_tiles(ctx, p.N, p.I, x);
  for_groups(ctx, p, [&](int o) { HWY_DYNAMIC_DISPATCH(fwd_packed_tiles)(p, o, tiles, packed, b, y); });
  return absl::OkStatus();
}

}  // namespace lockstep::simd
#endif  // HWY_ONCE
