// SPDX-License-Identifier: Apache-2.0
// Where a block's tile lies, and how its patch comes into shared memory.
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d_math.cuh"
#include "kernels/conv2d/conv2d_source.cuh"
#include "kernels/conv2d/conv2d_tile.h"
#include "kernels/launch.h"
#include "kernels/vec.cuh"

namespace lockstep::cuda {

struct TilePosition {
  int64_t n;   // first image
  int qh, qw;  // first quad
  int h, w;    // input pixel under the patch's corner; may be outside
};

// Tile `index` of an image, first image n.
__device__ __forceinline__ TilePosition tile_position(const ConvShape& s, const PatchTile& t, int64_t n, int index) {
  TilePosition at;
  at.n = n;
  at.qh = index / t.tiles_w * t.quads_h;
  at.qw = index % t.tiles_w * t.quads_w;
  at.h = 2 * at.qh * s.stride - s.pad_h;
  at.w = 2 * at.qw * s.stride - s.pad_w;
  return at;
}

// A quad of the block: which image of the block, and where in its tile.
struct QuadPosition {
  int image = 0, qh = 0, qw = 0;
};
__device__ __forceinline__ QuadPosition quad_position(const PatchTile& t, int quad) {
  const int row = quad / t.quads_w;
  return {row / t.quads_h, row % t.quads_h, quad % t.quads_w};
}
// Its upper left pixel in the patch, in words.
__device__ __forceinline__ int quad_base(const ConvShape& s, const PatchTile& t, QuadPosition q) {
  return q.image * t.image_pitch + 2 * s.stride * (q.qh * t.row_pitch + q.qw * t.pixel_pitch);
}

// The examples of chunk `slot` of slice `slice`; empty past the slice's last chunk.
struct ExampleRange {
  int64_t begin = 0, end = 0;
};
__device__ __forceinline__ ExampleRange chunk_range(const SliceTable& slices, int slice, int slot) {
  const int64_t begin = slices.begin[slice], end = slices.begin[slice + 1];
  const int64_t size = chunk_examples(end - begin, slices.chunk_target);
  const int64_t first = begin + slot * size, last = first + size;
  return {first < end ? first : end, last < end ? last : end};
}

// The patch of channels [c0, c0 + chunk) of every image of the block; zeros outside. A warp takes a row at a time, a
// thread four channels of a pixel, and has several loads under way before the first store.
template <class Math>
__device__ __forceinline__ void load_patch(const DenseSource& source, const PatchTile& t, const TilePosition& at,
                                           int64_t N, int c0, uint32_t* patch) {
  constexpr int kBatch = 2, kWords = 4 / Math::kWordChannels;
  const int quartets = t.chunk_words / kWords, row_items = t.patch_w * quartets, rows = t.images * t.patch_h;
  for (int row = warp_id(); row < rows; row += warp_count()) {
    const int image = row / t.patch_h, ph = row % t.patch_h;
    uint32_t* const to = patch + image * t.image_pitch + ph * t.row_pitch;
    const bool exists = at.n + image < N;
    for (int first = lane_id(); first < row_items; first += 32 * kBatch) {
      float4 v[kBatch];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int item = first + 32 * b, pixel = item / quartets, quartet = item % quartets;
        v[b] =
            exists && item < row_items ? source.at4(at.n + image, at.h + ph, at.w + pixel, c0 + 4 * quartet) : zero4();
      }
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int item = first + 32 * b, pixel = item / quartets, quartet = item % quartets;
        if (item < row_items) Math::store(to + pixel * t.pixel_pitch + kWords * quartet, v[b]);
      }
    }
  }
}

// The same behind a max-pool: quad by quad, so that each pooled gradient is read once and not for each of its pixels.
template <class Math>
__device__ __forceinline__ void load_patch(const UnpooledSource& source, const PatchTile& t, const TilePosition& at,
                                           int64_t N, int c0, uint32_t* patch) {
  constexpr int kWords = 4 / Math::kWordChannels;
  const int first_qh = at.h >> 1, first_qw = at.w >> 1;  // rounded down, also left of the image
  const int quad_rows = ((at.h + t.patch_h - 1) >> 1) - first_qh + 1;
  const int row_quads = ((at.w + t.patch_w - 1) >> 1) - first_qw + 1;
  const int quartets = t.chunk_words / kWords, row_items = row_quads * quartets, rows = t.images * quad_rows;
  for (int row = warp_id(); row < rows; row += warp_count()) {
    const int image = row / quad_rows, qh = first_qh + row % quad_rows;
    uint32_t* const to = patch + image * t.image_pitch;
    const bool exists = at.n + image < N;
#pragma unroll 1
    for (int item = lane_id(); item < row_items; item += 32) {
      const int qw = first_qw + item / quartets, quartet = item % quartets;
      float4 v[4] = {zero4(), zero4(), zero4(), zero4()};
      if (exists) source.quad(at.n + image, qh, qw, c0 + 4 * quartet, v);
#pragma unroll
      for (int pos = 0; pos < 4; ++pos) {
        const int ph = 2 * qh + pos / 2 - at.h, pw = 2 * qw + pos % 2 - at.w;
        if (ph < 0 || ph >= t.patch_h || pw < 0 || pw >= t.patch_w) continue;
        Math::store(to + ph * t.row_pitch + pw * t.pixel_pitch + kWords * quartet, v[pos]);
      }
    }
  }
}

}  // namespace lockstep::cuda
