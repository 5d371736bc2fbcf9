// SPDX-License-Identifier: Apache-2.0
// Convolutions of images of one channel, the first layer of a digit classifier, forward and with respect to the filter.
// There is nothing to sum over but the taps, so a tap is one FMA between an input that all filters share and a weight
// that all pixels share; both stay in registers as far as they go. Stride 1.
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d_stage.cuh"
#include "kernels/conv2d/conv2d_store.cuh"
#include "kernels/launch.h"

namespace lockstep::cuda {

constexpr int kOneChannelThreads = 256;
constexpr int kOneChannelFilters = 32;  // of a block

struct OneChannelArgs {
  ConvShape shape;
  PatchTile tile;
  int64_t N = 0;
  const float* x = nullptr;
  const float* w = nullptr;
  Outputs out;
};

// The patch of one channel; rows are an even number of words so that pairs of pixels can be loaded at once.
__device__ __forceinline__ void load_pixels(const float* x, const ConvShape& s, const PatchTile& t,
                                            const TilePosition& at, float* patch) {
  const float* const image = x + at.n * s.H * s.W;
  const int count = t.patch_h * t.row_pitch;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
    const int h = at.h + i / t.row_pitch, w = at.w + i % t.row_pitch;
    patch[i] = h >= 0 && h < s.H && w >= 0 && w < s.W ? image[h * s.W + w] : 0;
  }
}

// kCount pixels from p, which is 8-byte aligned; kCount is even.
template <int kCount>
__device__ __forceinline__ void load_row(const float* p, float (&row)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; i += 2) {
    const float2 pair = load2(p + i);
    row[i] = pair.x;
    row[i + 1] = pair.y;
  }
}

// Block (x, y): tile x of an image, filters [32 y, 32 y + 32). A warp does eight quads at a time, a thread two quads
// and four filters of them. Per filter row it loads one more row of pixels of each quad (the other is left from the row
// before) and the row's weights: for 5 x 5, 11 loads for 160 FMAs. Shared: weights and patch. Compute bound.
template <int kR, int kS, bool kPool>
__global__ void __launch_bounds__(kOneChannelThreads, 2) conv2d_one_channel_kernel(OneChannelArgs a) {
  static_assert(kS % 2 == 1, "rows of kS + 1 pixels are loaded in pairs");
  DYNAMIC_SHARED(float, shared);
  const ConvShape& s = a.shape;
  const PatchTile& t = a.tile;
  const int tiles = t.tiles_h * t.tiles_w;
  const TilePosition at =
      tile_position(s, t, static_cast<int64_t>(blockIdx.x) / tiles, static_cast<int>(blockIdx.x) % tiles);
  const int k0 = static_cast<int>(blockIdx.y) * kOneChannelFilters;
  float* const weights = shared;  // (kR * kS, 32)
  float* const patch = shared + kR * kS * kOneChannelFilters;
  for (int i = static_cast<int>(threadIdx.x); i < kR * kS * kOneChannelFilters; i += static_cast<int>(blockDim.x)) {
    const int tap = i / kOneChannelFilters, k = k0 + i % kOneChannelFilters;
    weights[i] = k < s.K ? a.w[tap * s.K + k] : 0;
  }
  load_pixels(a.x, s, t, at, patch);
  __syncthreads();

  const int filter = 4 * (lane_id() % 8), quads = t.quads_h * t.quads_w;
  for (int first = 8 * warp_id(); first < quads; first += 8 * warp_count()) {
    const float* const mine = weights + opaque(filter);
    const float* pixels[2];
    float rows[2][2][kS + 1];  // [quad][row parity]
    float4 sum[2][4];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int quad = first + 4 * i + lane_id() / 8;
      const QuadPosition q = quad_position(t, quad < quads ? quad : 0);
      pixels[i] = patch + 2 * (q.qh * t.row_pitch + q.qw);
      load_row(pixels[i], rows[i][0]);
#pragma unroll
      for (int pos = 0; pos < 4; ++pos) sum[i][pos] = zero4();
    }
#pragma unroll
    for (int r = 0; r < kR; ++r) {
#pragma unroll
      for (int i = 0; i < 2; ++i) load_row(pixels[i] + (r + 1) * t.row_pitch, rows[i][(r + 1) % 2]);
#pragma unroll
      for (int tap = 0; tap < kS; ++tap) {
        const float4 f = load4(mine + (r * kS + tap) * kOneChannelFilters);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
#pragma unroll
          for (int pos = 0; pos < 4; ++pos) {
            sum[i][pos] = fma(rows[i][(r + pos / 2) % 2][tap + pos % 2], f, sum[i][pos]);
          }
        }
      }
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int quad = first + 4 * i + lane_id() / 8;
      if (quad >= quads) continue;
      const int qh = at.qh + quad / t.quads_w, qw = at.qw + quad % t.quads_w;
      if constexpr (kPool) {
        store_pooled(a.out, s, at.n, qh, qw, k0 + filter, sum[i], false);
      } else {
        store_quad(a.out, s, at.n, qh, qw, k0 + filter, sum[i]);
      }
    }
  }
}

template <class Source>
struct OneChannelGradArgs {
  ConvShape shape;
  PatchTile tile;
  SliceTable slices;
  const float* x = nullptr;
  Source grad;
  float* partials = nullptr;  // per slot: (R, S, 1, K), then (K)
  int64_t partial_stride = 0;
};

// A quad's part of the filter gradient: `pixels` its upper left pixel in the patch, g its gradients, inside[pos]
// whether the pixel is one of the image (else it is skipped, as an infinite input times zero would spoil the sum).
template <bool kWhole, int kR, int kS>
__device__ __forceinline__ void add_quad(const float* pixels, int row_pitch, const float (&g)[4],
                                         const bool (&inside)[4], float (&sum)[kR][kS]) {
#pragma unroll
  for (int row = 0; row <= kR; ++row) {
    float x[kS + 1];
    load_row(pixels + row * row_pitch, x);
#pragma unroll
    for (int pos = 0; pos < 4; ++pos) {
      const int r = row - pos / 2;
      if (r < 0 || r >= kR) continue;
      if (!kWhole && !inside[pos]) continue;
#pragma unroll
      for (int tap = 0; tap < kS; ++tap) sum[r][tap] = fmaf(x[tap + pos % 2], g[pos], sum[r][tap]);
    }
  }
}

// Block (x, y): chunk x, filters [32 y, 32 y + 32), one a lane, whose gradients of all taps are the thread's sums. Each
// warp takes every eighth quad; in the end the warps' sums are added in the order of the warps. Shared: the patch, and
// the warps' sums. A quad is 4 * kR * kS FMAs for (kR + 1) * (kS + 1) / 2 loads of pairs that all lanes share.
template <int kR, int kS, class Source>
__global__ void __launch_bounds__(kOneChannelThreads) conv2d_one_channel_grad_kernel(OneChannelGradArgs<Source> a) {
  constexpr int kSums = kR * kS + 1;  // and the bias
  DYNAMIC_SHARED(float, shared);
  const ConvShape& s = a.shape;
  const PatchTile& t = a.tile;
  const int slice = static_cast<int>(blockIdx.x) / a.slices.slots, slot = static_cast<int>(blockIdx.x) % a.slices.slots;
  const ExampleRange range = chunk_range(a.slices, slice, slot);
  if (range.begin == range.end) return;
  float* const patch = shared;
  const int k = static_cast<int>(blockIdx.y) * kOneChannelFilters + lane_id();
  const int quads = t.quads_h * t.quads_w;
  float sum[kR][kS] = {}, bias = 0;
  for (int64_t n = range.begin; n < range.end; ++n) {
    for (int tile = 0; tile < t.tiles_h * t.tiles_w; ++tile) {
      const TilePosition at = tile_position(s, t, n, tile);
      __syncthreads();  // the patch before is not read any more
      load_pixels(a.x, s, t, at, patch);
      __syncthreads();
#pragma unroll 1
      for (int quad = warp_id(); quad < quads; quad += warp_count()) {
        const int qh = quad / t.quads_w, qw = quad % t.quads_w;
        const int oh = 2 * (at.qh + qh), ow = 2 * (at.qw + qw);
        if (oh >= s.OH || ow >= s.OW) continue;
        const bool right = ow + 1 < s.OW, lower = oh + 1 < s.OH;
        const bool inside[4] = {true, right, lower, right && lower};
        float g[4];
        a.grad.quad_of(n, at.qh + qh, at.qw + qw, k, g);
        bias += (g[0] + g[1]) + (g[2] + g[3]);
        const float* const pixels = patch + 2 * (qh * t.row_pitch + qw);
        if (right && lower) {
          add_quad<true>(pixels, t.row_pitch, g, inside, sum);
        } else {
          add_quad<false>(pixels, t.row_pitch, g, inside, sum);
        }
      }
    }
  }
  float* const warps = shared + t.patch_h * t.row_pitch;  // (warps, kSums, 32)
  float* const mine = warps + warp_id() * kSums * 32 + lane_id();
#pragma unroll
  for (int tap = 0; tap < kR * kS; ++tap) mine[tap * 32] = sum[tap / kS][tap % kS];
  mine[kR * kS * 32] = bias;
  __syncthreads();
  float* const partial = a.partials + static_cast<int64_t>(blockIdx.x) * a.partial_stride;
  if (k >= s.K) return;
  for (int i = warp_id(); i < kSums; i += warp_count()) {
    float total = warps[i * 32 + lane_id()];
    for (int warp = 1; warp < warp_count(); ++warp) total += warps[(warp * kSums + i) * 32 + lane_id()];
    partial[static_cast<int64_t>(i) * s.K + k] = total;
  }
}

}  // namespace lockstep::cuda
