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

// How a warp shares a row of pixels (or quads): neighbouring lanes take neighbouring fours of channels, `step` pixels
// at a time. No division per pixel.
struct LaneShare {
  int quartet, pixel, step;
};
__device__ __forceinline__ LaneShare lane_share(int quartets) {
  const int step = 32 / quartets, pixel = lane_id() / quartets;
  return {lane_id() % quartets, pixel < step ? pixel : 1 << 20, step};  // lanes left over get no pixel
}

__device__ __forceinline__ bool in_range(int i, int size) {
  return static_cast<unsigned>(i) < static_cast<unsigned>(size);
}

// The pixel that a lane takes first when four share a row. Half a warp stores two pixels of 16 words (bfloat16) at
// once: every second one, as they lie 8 words beyond a multiple of 16 apart and neighbours would meet in 8 banks.
__device__ __forceinline__ int first_pixel(const LaneShare& share) {
  return share.step == 4 ? share.pixel / 2 + share.pixel % 2 * 2 : share.pixel;
}

// The patch of channels [c0, c0 + chunk) of every image of the block; zeros outside. A warp takes a row at a time and
// has kBatch loads under way before the first store.
template <class Math, int kBatch = 2>
__device__ __forceinline__ void load_patch(const DenseSource& source, const PatchTile& t, const TilePosition& at,
                                           int64_t N, int c0, uint32_t* patch) {
  constexpr int kWords = 4 / Math::kWordChannels;
  const LaneShare share = lane_share(t.chunk_words / kWords);
  const int c = c0 + 4 * share.quartet, rows = t.images * t.patch_h;
  for (int row = warp_id(); row < rows; row += warp_count()) {
    const int image = row / t.patch_h, ph = row % t.patch_h, h = at.h + ph;
    const int64_t n = at.n + image, first = ((n * source.H + h) * source.W + at.w) * source.C + c;
    const bool exists = n < N && in_range(h, source.H) && c < source.C;
    uint32_t* const to = patch + image * t.image_pitch + ph * t.row_pitch + kWords * share.quartet;
    for (int pw = first_pixel(share); pw < t.patch_w; pw += kBatch * share.step) {
      float4 v[kBatch];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int pixel = pw + b * share.step;
        const bool inside = exists && pixel < t.patch_w && in_range(at.w + pixel, source.W);
        v[b] = inside ? source.load(first + static_cast<int64_t>(pixel) * source.C, c) : zero4();
      }
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int pixel = pw + b * share.step;
        if (pixel < t.patch_w) Math::words(v[b]).store(to + pixel * t.pixel_pitch);
      }
    }
  }
}

// The same behind a max-pool: quad by quad, so that each pooled gradient is read once and not for each of its pixels.
template <class Math>
__device__ __forceinline__ void load_patch(const UnpooledSource& source, const PatchTile& t, const TilePosition& at,
                                           int64_t N, int c0, uint32_t* patch) {
  constexpr int kWords = 4 / Math::kWordChannels;
  const LaneShare share = lane_share(t.chunk_words / kWords);
  const int first_qh = at.h >> 1, first_qw = at.w >> 1;  // rounded down, also left of the image
  const int quad_rows = ((at.h + t.patch_h - 1) >> 1) - first_qh + 1;
  const int row_quads = ((at.w + t.patch_w - 1) >> 1) - first_qw + 1;
  const int c = c0 + 4 * share.quartet, rows = t.images * quad_rows;
  for (int row = warp_id(); row < rows; row += warp_count()) {
    const int image = row / quad_rows, qh = first_qh + row % quad_rows, ph = 2 * qh - at.h;
    const int64_t n = at.n + image, first = ((n * source.PH + qh) * source.PW + first_qw) * source.C + c;
    const bool exists = n < N && in_range(qh, source.PH) && c < source.C;
    uint32_t* const to = patch + image * t.image_pitch + kWords * share.quartet;
    for (int quad = share.pixel; quad < row_quads; quad += share.step) {
      UnpooledSource::Pooled g{zero4(), make_uchar4(0, 0, 0, 0)};
      if (exists && in_range(first_qw + quad, source.PW)) {
        g = source.load(first + static_cast<int64_t>(quad) * source.C, c);
      }
      const WordsOf<Math> words = Math::words(g.value);
      const int pw = 2 * (first_qw + quad) - at.w;
#pragma unroll
      for (int pos = 0; pos < 4; ++pos) {
        if (!in_range(ph + pos / 2, t.patch_h) || !in_range(pw + pos % 2, t.patch_w)) continue;
        words.keep(g.position, pos).store(to + (ph + pos / 2) * t.row_pitch + (pw + pos % 2) * t.pixel_pitch);
      }
    }
  }
}

}  // namespace lockstep::cuda
