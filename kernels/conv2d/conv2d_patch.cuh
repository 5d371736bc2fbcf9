// SPDX-License-Identifier: Apache-2.0
// The convolution proper: forward, and with turned filters the gradient with respect to the input.
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d_stage.cuh"
#include "kernels/conv2d/conv2d_store.cuh"
#include "kernels/launch.h"
#include "kernels/mma.cuh"

namespace lockstep::cuda {

constexpr int kPatchThreads = 256;  // at most
// A quad's arg-max positions of kBlockK filters in shared memory, apart such that eight quads meet in no bank.
template <int kBlockK>
constexpr int kPositionPitch = kBlockK + 16;

template <class Source>
struct PatchConvArgs {
  ConvShape shape;
  PatchTile tile;
  int64_t N = 0;
  Source source;
  const uint32_t* filters = nullptr;  // as conv2d_pack_kernel leaves them
  Outputs out;
};

__device__ __forceinline__ void stage_slab(const uint32_t* from, uint32_t* to, int words) {
  for (int i = 4 * static_cast<int>(threadIdx.x); i < words; i += 4 * static_cast<int>(blockDim.x)) {
    cp_async<16>(to + i, from + i);
  }
  cp_async_commit();
}

// Calls store(first of four filters, position, sums of the four pixels, number of the quad) for what this
// thread holds of the tile, within the batch.
template <class Sums, class Store>
__device__ __forceinline__ void for_each_quad(const PatchTile& t, TilePosition at, int64_t N, const Sums& sums,
                                              Store&& store) {
  const int quads = t.images * t.quads_h * t.quads_w;
#pragma unroll
  for (int i = 0; i < Sums::kQuads; ++i) {
    const QuadPosition q = quad_position(t, Sums::quad(i));
    if (Sums::quad(i) >= quads || at.n + q.image >= N) continue;
#pragma unroll
    for (int group = 0; group < Sums::kGroups; ++group) {
      const float4 v[4] = {sums.value(i, 0, group), sums.value(i, 1, group), sums.value(i, 2, group),
                           sums.value(i, 3, group)};
      store(Sums::filter(group), q, v, Sums::quad(i));
    }
  }
}

// Stores one warp's quads of pooled outputs. Where `wide`, arg-max positions go through `bytes` (the warp's own)
// so that they leave in whole sectors: a thread's own four bytes at a time would use half of each.
template <class Sums, int kBlockK>
__device__ __forceinline__ void store_pooled_sums(const Outputs& out, const ConvShape& s, const PatchTile& t,
                                                  TilePosition at, int64_t N, int k0, const Sums& sums,
                                                  uint8_t* bytes) {
  constexpr int kQuadsOfWarp = kWarpOutputs / kBlockK;
  for_each_quad(t, at, N, sums, [&](int filter, const QuadPosition& q, const float4(&v)[4], int quad) {
    const uchar4 position =
        store_pooled(out, s, at.n + q.image, at.qh + q.qh, at.qw + q.qw, k0 + filter, v, out.wide_argmax);
    const int quad_of_warp = quad - kQuadsOfWarp * warp_id();
    if (out.wide_argmax) store4(bytes + quad_of_warp * kPositionPitch<kBlockK> + filter, position);
  });
  if (!out.wide_argmax) return;
  __syncwarp();
  const int quad_of_warp = lane_id() / (kBlockK / 16), filter = lane_id() % (kBlockK / 16) * 16;
  const int quad = kQuadsOfWarp * warp_id() + quad_of_warp;
  const QuadPosition q = quad_position(t, quad);
  const int64_t n = at.n + q.image;
  const int qh = at.qh + q.qh, qw = at.qw + q.qw;
  if (quad >= t.images * t.quads_h * t.quads_w || n >= N || qh >= out.PH || qw >= out.PW || k0 + filter >= s.K) return;
  const uint4 positions = *reinterpret_cast<const uint4*>(bytes + quad_of_warp * kPositionPitch<kBlockK> + filter);
  *reinterpret_cast<uint4*>(out.argmax + ((n * out.PH + qh) * out.PW + qw) * s.K + k0 + filter) = positions;
}

template <class Sums>
__device__ __forceinline__ void store_sums(const Outputs& out, const ConvShape& s, const PatchTile& t, TilePosition at,
                                           int64_t N, int k0, const Sums& sums) {
  for_each_quad(t, at, N, sums, [&](int filter, const QuadPosition& q, const float4(&v)[4], int) {
    store_quad(out, s, at.n + q.image, at.qh + q.qh, at.qw + q.qw, k0 + filter, v);
  });
}

// Implicit GEMM on a patch. Block (x, y): tile x (image group, tile of the image), filters [y * kBlockK, ...). Threads:
// 32 per kWarpOutputs / kBlockK quads of the tile, at most kPatchThreads. Shared: the patch of one chunk of channels,
// and two slabs, one tap's filters each: while one is multiplied, cp.async brings the next. The sum of an output runs
// over chunks, taps, channels in this order, whatever the batch and the tile. Any sizes that the tile fits. Compute
// bound, see docs/cuda.md.
template <class Math, class Source, int kBlockK, bool kPool>
__global__ void __launch_bounds__(kPatchThreads, 2) conv2d_patch_kernel(PatchConvArgs<Source> a) {
  using Sums = typename Math::template Sums<kBlockK>;
  DYNAMIC_SHARED(uint32_t, shared);
  const ConvShape& s = a.shape;
  const PatchTile& t = a.tile;
  const int tiles = t.tiles_h * t.tiles_w;
  SHARED(TilePosition, position, 1);  // not in registers, which the sums need
  if (threadIdx.x == 0) {
    position[0] =
        tile_position(s, t, static_cast<int64_t>(blockIdx.x) / tiles * t.images, static_cast<int>(blockIdx.x) % tiles);
  }
  uint32_t* const patch = shared;
  uint32_t* const slabs = shared + t.images * t.image_pitch;
  const int slab_words = t.chunk_words * kBlockK, slab_count = t.chunks * s.R * s.S;
  const uint32_t* const filters = a.filters + static_cast<int64_t>(blockIdx.y) * slab_count * slab_words;

  Sums sums;
  sums.clear();
  int base[Sums::kQuads];
#pragma unroll
  for (int i = 0; i < Sums::kQuads; ++i) {
    const QuadPosition q = quad_position(t, Sums::quad(i));
    base[i] = q.image < t.images ? quad_base(s, t, q) : 0;  // the sums of a quad behind the last are not stored
  }
  const int dx = s.stride * t.pixel_pitch, dy = s.stride * t.row_pitch;
  const int k0 = static_cast<int>(blockIdx.y) * kBlockK;

  stage_slab(filters, slabs, slab_words);
  int slab = 0;
  for (int chunk = 0; chunk < t.chunks; ++chunk) {
    __syncthreads();  // the patch of the chunk before is not read any more; the position is known
    load_patch<Math>(a.source, t, position[0], a.N, chunk * t.chunk_words * Math::kWordChannels, patch);
    const uint32_t* pixels = patch;  // at the tap
    for (int column = 0, last = slab + s.R * s.S; slab < last; ++slab) {
      cp_async_wait<0>();
      __syncthreads();  // this tap's slab and the patch have come for all, and the other slab is not read any more
      if (slab + 1 < slab_count) {
        stage_slab(filters + static_cast<int64_t>(slab + 1) * slab_words, slabs + (slab + 1) % 2 * slab_words,
                   slab_words);
      }
      sums.multiply(pixels, base, dx, dy, slabs + slab % 2 * slab_words, t.chunk_words);
      pixels += t.pixel_pitch;
      if (++column == s.S) {
        column = 0;
        pixels += t.row_pitch - s.S * t.pixel_pitch;
      }
    }
  }
  if constexpr (kPool) {
    __syncthreads();  // the patch makes room for arg-max positions
    uint8_t* const bytes =
        reinterpret_cast<uint8_t*>(shared) + kWarpOutputs / kBlockK * kPositionPitch<kBlockK> * warp_id();
    store_pooled_sums<Sums, kBlockK>(a.out, s, t, position[0], a.N, k0, sums, bytes);
  } else {
    store_sums(a.out, s, t, position[0], a.N, k0, sums);
  }
}

}  // namespace lockstep::cuda
