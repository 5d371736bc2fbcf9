// SPDX-License-Identifier: Apache-2.0
// The forward pass with weights laid out once. Behind a ReLU most inputs are zero, 73 % of them in the reference
// network after two epochs, and an input of zero adds nothing to any output: where enough are, only the others are
// multiplied, a row of weights each. The order of what is added stays the same, and so do the bits.
//
// Compute bound in the first-level cache with one load a multiply-add, as rows of weights serve one example at a time:
// 2 FLOP for each weight of an input that is not zero, against 14 rows a load in a tile. See docs/performance.md.
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/dense/dense_packed_simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/dense/dense_impl.h"
#include "kernels/dense/dense_split.h"
#include "kernels/dense/dense_tiles-inl.h"
#include "kernels/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

// Scratch slot of one task.
enum PackedSlot { kSumsSlot = 2 };

// Columns of weights that stay together: as many sums of one example as hide the latency of a multiply-add.
inline constexpr int kGroupVectors = 8;
inline constexpr int kGroup = kGroupVectors * kLanes;

// Rows of a group in the first-level cache (32 KB with AVX-512).
inline constexpr int kChunkRows = DenseSplit::kChunk;

// Rows of a group that the register tiles take at once.
inline constexpr int kTileRows = 256;

// Examples that need a row of weights, on average, up to which rows are asked for one by one; beyond, nearly all of
// them are needed, and come in as they lie.
inline constexpr double kFewUses = 1.6;

int dense_packed_group() { return kGroup; }

// Packed weights: groups of columns behind each other, each (I, columns rounded up to whole vectors); then for each
// group whether all of its weights are finite. Zero times anything else would be no zero.
int dense_packed_width(const DenseParams& p, int o) { return round_up(std::min(kGroup, p.O - o), kLanes); }
int64_t dense_packed_flag(const DenseParams& p, int o) { return int64_t{p.I} * round_up(p.O, kLanes) + o / kGroup; }
int64_t dense_packed_size(const DenseParams& p) { return dense_packed_flag(p, round_up(p.O, kGroup)); }

void dense_pack_group(const DenseParams& p, int o, const float* w, float* packed) {
  const int columns = std::min(kGroup, p.O - o), width = dense_packed_width(p, o);
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
  packed[dense_packed_flag(p, o)] = finite ? 1.0f : 0.0f;
}

// The words of example n.
void dense_split_inputs(const DenseParams& p, int64_t n, const float* x, uint64_t* nonzero) {
  x += n * p.I;
  for (int i = 0; i < p.I; i += kChunkRows) {
    nonzero[i / kChunkRows * p.N + n] = nonzero_bits(x + i, std::min(kChunkRows, p.I - i));
  }
}

// sums (NV vectors) += values of the inputs in `nonzero` times their rows of w (kChunkRows, NV vectors). Asks for the
// rows `next_rows` of the next chunk, or for the lines [next, next_end).
template <int NV>
HWY_NOINLINE void add_rows(uint64_t nonzero, const float* HWY_RESTRICT x, const float* HWY_RESTRICT w,
                           float* HWY_RESTRICT sums, uint64_t next_rows, const float* next, const float* next_end) {
  constexpr int kLine = 64 / sizeof(float), kWidth = NV * kLanes;
  const Floats d;
  FloatVec acc[NV];
#pragma GCC unroll 8
  for (int v = 0; v < NV; ++v) acc[v] = hn::Load(d, sums + v * kLanes);
  for (; nonzero != 0; nonzero &= nonzero - 1) {
    const int i = std::countr_zero(nonzero);
    const float* HWY_RESTRICT row = w + i * kWidth;
    const FloatVec value = hn::Set(d, x[i]);
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[v] = hn::MulAdd(value, hn::LoadU(d, row + v * kLanes), acc[v]);
    if (next_rows != 0) {
      const float* const later = w + (kChunkRows + std::countr_zero(next_rows)) * kWidth;
      next_rows &= next_rows - 1;
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

using AddRows = void (*)(uint64_t, const float*, const float*, float*, uint64_t, const float*, const float*);

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
HWY_INLINE void fwd_nonzeros(const DenseParams& p, int o, const DenseSplit& x, const float* w, const float* b,
                             float* y) {
  const int columns = std::min(kGroup, p.O - o), width = dense_packed_width(p, o), chunks = DenseSplit::chunks(p.I);
  float* const sums = scratch(kSumsSlot, static_cast<size_t>(p.N * width));
  for (int64_t n = 0; n < p.N; ++n) {
    std::copy_n(b + o, columns, sums + n * width);
    std::fill_n(sums + n * width + columns, width - columns, 0.0f);
  }
  const AddRows add = add_rows_for(width / kLanes);
  const ptrdiff_t size = ptrdiff_t{kChunkRows} * width;
  const bool few = static_cast<double>(x.count) < kFewUses * p.I;
  const uint64_t* nonzero = x.nonzero;
  for (int chunk = 0; chunk < chunks; ++chunk, w += size) {
    for (int64_t n = 0; n < p.N; ++n, ++nonzero) {
      const float* const values = x.x + n * p.I + ptrdiff_t{chunk} * kChunkRows;
      if (few) {
        add(*nonzero, values, w, sums + n * width, chunk + 1 < chunks ? nonzero[p.N] : 0, nullptr, nullptr);
      } else {
        add(*nonzero, values, w, sums + n * width, 0, w + size + size * n / p.N, w + size + size * (n + 1) / p.N);
      }
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
  const int columns = std::min(kGroup, p.O - o), width = dense_packed_width(p, o);
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

bool dense_packed_finite(const DenseParams& p, const float* packed) {
  return std::find(packed + dense_packed_flag(p, 0), packed + dense_packed_size(p), 0.0f) ==
         packed + dense_packed_size(p);
}

void dense_fwd_packed_nonzeros(const DenseParams& p, int o, const DenseSplit& x, const float* packed, const float* b,
                               float* y) {
  fwd_nonzeros(p, o, x, packed + ptrdiff_t{p.I} * o, b, y);
}

void dense_fwd_packed_tiles(const DenseParams& p, int o, const float* x, const float* packed, const float* b,
                            float* y) {
  fwd_tiles(p, o, x, packed + ptrdiff_t{p.I} * o, b, y);
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::simd {

HWY_EXPORT(dense_packed_group);
HWY_EXPORT(dense_packed_size);
HWY_EXPORT(dense_pack_group);
HWY_EXPORT(dense_split_inputs);
HWY_EXPORT(dense_packed_finite);
HWY_EXPORT(dense_fwd_packed_nonzeros);
HWY_EXPORT(dense_fwd_packed_tiles);

namespace {

// Share of inputs that are not zero up to which a row for each of them is faster than tiles of all.
constexpr double kMaxDensity = 0.5;

constexpr int kBitsSlot = 0;

// Calls task(first output) for each group of columns.
template <typename Task>
void for_groups(const KernelContext& ctx, const DenseParams& p, const Task& task) {
  const int columns = HWY_DYNAMIC_DISPATCH(dense_packed_group)();
  parallel_for(ctx.pool, (p.O + columns - 1) / columns, [&](int64_t i, int) { task(static_cast<int>(i) * columns); });
}

// Of all examples. Valid until this thread's next call.
DenseSplit split_all(const KernelContext& ctx, const DenseParams& p, const float* x) {
  const int64_t pieces = p.N * DenseSplit::chunks(p.I);
  auto* const nonzero = scratch<uint64_t>(kBitsSlot, static_cast<size_t>(pieces));
  parallel_for(ctx.pool, p.N, [&](int64_t n, int) { HWY_DYNAMIC_DISPATCH(dense_split_inputs)(p, n, x, nonzero); });
  int64_t count = 0;
  for (int64_t i = 0; i < pieces; ++i) count += std::popcount(nonzero[i]);
  return {x, nonzero, count};
}

}  // namespace

int64_t dense_packed_floats(const DenseParams& p) { return HWY_DYNAMIC_DISPATCH(dense_packed_size)(p); }

absl::Status dense_pack(const KernelContext& ctx, const DenseParams& p, const float* w, float* packed) {
  for_groups(ctx, p, [&](int o) { HWY_DYNAMIC_DISPATCH(dense_pack_group)(p, o, w, packed); });
  return absl::OkStatus();
}

absl::Status dense_fwd_packed(const KernelContext& ctx, const DenseParams& p, const float* x, const float* packed,
                              const float* b, float* y) {
  if (p.relu && HWY_DYNAMIC_DISPATCH(dense_packed_finite)(p, packed)) {
    const DenseSplit inputs = split_all(ctx, p, x);
    if (static_cast<double>(inputs.count) <= kMaxDensity * static_cast<double>(p.N) * p.I) {
      for_groups(ctx, p, [&](int o) { HWY_DYNAMIC_DISPATCH(dense_fwd_packed_nonzeros)(p, o, inputs, packed, b, y); });
      return absl::OkStatus();
    }
  }
  const float* tiles = dense_pack_tiles(ctx, p.N, p.I, x);
  for_groups(ctx, p, [&](int o) { HWY_DYNAMIC_DISPATCH(dense_fwd_packed_tiles)(p, o, tiles, packed, b, y); });
  return absl::OkStatus();
}

}  // namespace lockstep::simd
#endif  // HWY_ONCE
