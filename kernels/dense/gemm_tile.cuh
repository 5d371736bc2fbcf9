// SPDX-License-Identifier: Apache-2.0
// What matrix-product kernels of a block share: the layout of a tile in shared memory, the copy of tiles into it, and
// the double-buffered walk along K. How a tile is multiplied is up to a Tile type (gemm_fp32.cuh, gemm_mma.cuh).
//
// C (M, N) = A (M, K) B (K, N). Each of A and B is stored with K contiguous or with its other index contiguous, and
// stays so in shared memory: 16-byte asynchronous copies cannot transpose.
#pragma once

#include <cstdint>

#include "kernels/launch.h"
#include "kernels/mma.cuh"
#include "kernels/reduce.cuh"
#include "kernels/vec.cuh"

namespace lockstep::cuda {

// Returns its argument, of which the compiler then knows nothing. Without it, the addresses of the result, which do not
// change from segment to segment, are computed before the walk along K and fill the registers meanwhile.
__device__ __forceinline__ int computed_here(int value) {
#if defined(__CUDACC__)
  asm volatile("" : "+r"(value));
#endif
  return value;
}

// Which index of an operand is contiguous: K, or the other one (M of A, N of B).
enum class Major { kK, kOuter };

// A or B in device memory: element (outer, k) lies at outer * stride + k, or k * stride + outer.
struct Operand {
  const float* data;
  const float* mask;  // same shape: the element counts as zero where mask <= 0; null: no mask
  int64_t stride;
  int64_t outer;  // M of A, N of B
};

// kOuter x kDepth floats in shared memory: rows along the contiguous index, with kPad floats behind each, which put
// what a warp reads at once into different banks. 16 bytes of a row are aligned.
template <Major kMajor, int kOuter, int kDepth, int kPad>
struct SharedTile {
  static constexpr int kStride = (kMajor == Major::kK ? kDepth : kOuter) + kPad;
  static constexpr int kFloats = (kMajor == Major::kK ? kOuter : kDepth) * kStride;
  static_assert(kPad % 4 == 0);

  static __device__ __forceinline__ int at(int outer, int k) {
    return kMajor == Major::kK ? outer * kStride + k : k * kStride + outer;
  }
};

// Copies tiles of one operand. kVector: the contiguous extent, the stride and the address are multiples of 16 bytes.
// An operand that may have a mask goes through registers between start and finish, others by cp.async.
template <class Layout, Major kMajor, int kOuter, int kDepth, int kThreads, bool kMasked, bool kVector>
class TileLoader {
 public:
  // For the operand's rows [outer_tile * kOuter, (outer_tile + 1) * kOuter).
  __device__ __forceinline__ TileLoader(const Operand& operand, int outer_tile)
      : operand_(operand), outer_tile_(outer_tile) {
    const int64_t left = operand.outer - static_cast<int64_t>(outer_tile) * kOuter - local_outer();
    left_ = static_cast<int>(left < kOuter ? left : kOuter);
  }

  // Begins to copy the k in [k0, min(k0 + kDepth, k_end)); the rest of the tile becomes zero.
  __device__ __forceinline__ void start(int k0, int k_end, float* tile) {
    const int64_t first = first_offset(k0);
    const int k_left = k_end - k0 - local_k();
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      const int64_t offset = first + i * kRowsAtOnce * operand_.stride;
      const int inside = elements_inside(i, k_left);
      if constexpr (kMasked) {
        values_[i] = load_piece(operand_.data + offset, inside);
        if (operand_.mask != nullptr) masks_[i] = load_piece(operand_.mask + offset, inside);
      } else {
        copy_piece(tile + place(i), offset, inside);
      }
    }
    if constexpr (!kMasked) cp_async_commit();
  }

  // Ends what start began for this thread; a barrier makes it visible to others.
  __device__ __forceinline__ void finish(float* tile) {
    if constexpr (kMasked) {
#pragma unroll
      for (int i = 0; i < kPieces; ++i) {
        store4(tile + place(i), operand_.mask != nullptr ? masked(values_[i], masks_[i]) : values_[i]);
      }
    } else {
      cp_async_wait<0>();
    }
  }

 private:
  static constexpr int kPerRow = (kMajor == Major::kK ? kDepth : kOuter) / 4;  // 16-byte pieces
  static constexpr int kRowsAtOnce = kThreads / kPerRow;
  static constexpr int kPieces = kOuter * kDepth / 4 / kThreads;  // of a thread: rows kRowsAtOnce apart
  static_assert(kPieces * kThreads * 4 == kOuter * kDepth && kRowsAtOnce * kPerRow == kThreads);

  // The row and the column in it at which the thread's first piece starts.
  static __device__ __forceinline__ int row() { return static_cast<int>(threadIdx.x) / kPerRow; }
  static __device__ __forceinline__ int column() { return static_cast<int>(threadIdx.x) % kPerRow * 4; }
  static __device__ __forceinline__ int local_outer() { return kMajor == Major::kK ? row() : column(); }
  static __device__ __forceinline__ int local_k() { return kMajor == Major::kK ? column() : row(); }

  // Of the thread's first piece in the tile that starts at k0. Computed anew for each tile: between tiles, every
  // register is wanted.
  __device__ __forceinline__ int64_t first_offset(int k0) const {
    const int64_t outer0 = static_cast<int64_t>(computed_here(outer_tile_)) * kOuter;
    return kMajor == Major::kK ? (outer0 + row()) * operand_.stride + k0 + column()
                               : (k0 + row()) * operand_.stride + outer0 + column();
  }
  static __device__ __forceinline__ int place(int i) {
    const int at = row() + i * kRowsAtOnce;
    return kMajor == Major::kK ? Layout::at(at, column()) : Layout::at(column(), at);
  }

  // How many elements of piece i lie in the matrix; 4 or more: all.
  __device__ __forceinline__ int elements_inside(int i, int k_left) const {
    if constexpr (kMajor == Major::kK) {
      return i * kRowsAtOnce < left_ ? k_left : 0;
    } else {
      return i * kRowsAtOnce < k_left ? left_ : 0;
    }
  }

  __device__ __forceinline__ void copy_piece(float* to, int64_t offset, int inside) const {
    if constexpr (kVector) {
      cp_async_if<16>(inside > 0, to, operand_.data + (inside > 0 ? offset : 0));
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) cp_async_if<4>(j < inside, to + j, operand_.data + (j < inside ? offset + j : 0));
    }
  }

  static __device__ __forceinline__ float4 load_piece(const float* from, int inside) {
    if constexpr (kVector) {
      return inside > 0 ? load4_readonly(from) : make_float4(0, 0, 0, 0);
    } else {
      float v[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) v[j] = j < inside ? from[j] : 0.0f;
      return make_float4(v[0], v[1], v[2], v[3]);
    }
  }

  static __device__ __forceinline__ float4 masked(float4 v, float4 mask) {
    return make_float4(mask.x <= 0 ? 0.0f : v.x, mask.y <= 0 ? 0.0f : v.y, mask.z <= 0 ? 0.0f : v.z,
                       mask.w <= 0 ? 0.0f : v.w);
  }

  const Operand& operand_;
  const int outer_tile_;
  int left_;  // rows (K contiguous) or elements from that piece on that are inside the matrix
  float4 values_[kMasked ? kPieces : 1], masks_[kMasked ? kPieces : 1];
};

// The product of a block along K, which is cut into segments: on_segment(s, acc) gets the sum over segment s alone.
// Within a segment K goes up one by one (fp32) or in the steps of the tensor cores, whatever the size of the tile: an
// element of C has the same bits for any Tile of one kind.
//
// Two stages: while one is multiplied, the next one is on its way. Shared: kSharedBytes, dynamic.
template <class Tile, Major kMajorA, Major kMajorB, bool kMaskA, bool kMaskB, bool kVector>
struct BlockProduct {
  using LayoutA = SharedTile<kMajorA, Tile::kM, Tile::kDepth, Tile::template kPadA<kMajorA>>;
  using LayoutB = SharedTile<kMajorB, Tile::kN, Tile::kDepth, Tile::template kPadB<kMajorB>>;
  static constexpr int kStageFloats = LayoutA::kFloats + LayoutB::kFloats;
  static constexpr int kSharedBytes = 2 * kStageFloats * static_cast<int>(sizeof(float));

  // Segment s is [bound(s), bound(s + 1)). on_tile(b) sees each tile of B in shared memory.
  template <class Bound, class OnTile, class OnSegment>
  static __device__ __forceinline__ void run(const Operand& a, const Operand& b, int tile_m, int tile_n,
                                             int first_segment, int end_segment, const Bound& bound,
                                             const OnTile& on_tile, const OnSegment& on_segment) {
    DYNAMIC_SHARED(float, shared);
    TileLoader<LayoutA, kMajorA, Tile::kM, Tile::kDepth, Tile::kThreads, kMaskA, kVector> load_a(a, tile_m);
    TileLoader<LayoutB, kMajorB, Tile::kN, Tile::kDepth, Tile::kThreads, kMaskB, kVector> load_b(b, tile_n);
    int stage = 0;
    int ahead = first_segment, ahead_k = bound(first_segment);  // the tile that is loaded next
    const auto start = [&](int to) {
      while (ahead < end_segment && ahead_k >= bound(ahead + 1)) ++ahead;  // segments may be empty
      if (ahead == end_segment) return false;
      float* const tile = shared + to * kStageFloats;
      load_a.start(ahead_k, bound(ahead + 1), tile);
      load_b.start(ahead_k, bound(ahead + 1), tile + LayoutA::kFloats);
      ahead_k = min(ahead_k + Tile::kDepth, bound(ahead + 1));
      return true;
    };
    const auto finish = [&](int to) {
      float* const tile = shared + to * kStageFloats;
      load_a.finish(tile);
      load_b.finish(tile + LayoutA::kFloats);
    };

    if (start(0)) finish(0);
    __syncthreads();  // the first tile is complete
#pragma unroll 1
    for (int s = first_segment; s < end_segment; ++s) {
      typename Tile::Sums acc{};
#pragma unroll 1
      for (int k = bound(s); k < bound(s + 1); k += Tile::kDepth) {
        const bool more = start(1 - stage);
        const float* const tile = shared + stage * kStageFloats;
        Tile::template multiply<kMajorA, kMajorB, LayoutA, LayoutB>(tile, tile + LayoutA::kFloats, acc);
        on_tile(tile + LayoutA::kFloats);
        if (more) finish(1 - stage);
        __syncthreads();  // the next tile is complete, and nobody reads this one any more
        stage = 1 - stage;
      }
      on_segment(s, acc);
    }
  }
};

}  // namespace lockstep::cuda
