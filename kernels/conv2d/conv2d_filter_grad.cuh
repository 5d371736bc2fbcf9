// SPDX-License-Identifier: Apache-2.0
// The gradient with respect to the filter: for every tap a matrix product over pixels, 32 input channels times 64
// filters a warp. Each block sums one chunk of a slice's examples in order; conv2d_grad_sum.cuh adds the chunks and the
// slices.
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d_stage.cuh"
#include "kernels/conv2d/conv2d_store.cuh"
#include "kernels/launch.h"
#include "kernels/mma.cuh"
#include "kernels/reduce.cuh"

namespace lockstep::cuda {

constexpr int kGradThreads = 256;  // at most: eight taps
constexpr int kGradChannels = 32;  // of a block
constexpr int kGradFilters = 64;
constexpr int kZeroWords = 16;
constexpr int kNoQuad = 1 << 29;  // below any image, and twice it is an int

template <class Source>
struct FilterGradArgs {
  ConvShape shape;
  PatchTile tile;  // one image; chunk_words hold kGradChannels
  SliceTable slices;
  int taps_per_group = 1;
  DenseSource x;
  Source grad;                // (N, OH, OW, K)
  float* partials = nullptr;  // per slot: (R, S, C, K), then (K)
  int64_t partial_stride = 0;
};

// A quad of the tile in shared memory: where its upper left pixel is in the patch, and which of its pixels are outputs
// (a bit each). An infinite input times a gradient that does not exist must not spoil the sum.
struct QuadEntry {
  int base = 0;
  int inside = 0;
};

// A tile in shared memory, for one tap.
struct GradTile {
  const uint32_t* x;     // the patch at the tap
  int dx, dy;            // steps to a quad's right and lower pixels
  const uint32_t* grad;  // [quad][pixel], rows of kPitch words: 64 filters
  const QuadEntry* quads;
  const uint32_t* zeros;  // a pixel that stands for those outside the image
};

// Sums of 32 channels x 64 filters of one tap. add() takes the products of quads quad .. quad + kQuads - 1.
struct FloatGradSums {
  static constexpr int kQuads = 1;
  static constexpr int kPitch = kGradFilters;
  float sum[8][2][4];  // channels 4 (lane / 8) + {0..3} and 16 more; filters 4 (lane % 8) + {0..3} and 32 more
  float bias[2][4];

  template <bool kBias>
  __device__ __forceinline__ void add(const GradTile& tile, int quad) {
    const int dx = tile.dx, dy = tile.dy;
    const uint32_t *const x = tile.x, *const grad = tile.grad + 4 * quad * kPitch;
    const QuadEntry* const quads = tile.quads + quad;
    const QuadEntry q = quads[0];
    const uint32_t* const pixels = x + q.base + 4 * (lane_id() / 8);
#pragma unroll
    for (int pos = 0; pos < 4; ++pos) {
      if ((q.inside >> pos & 1) == 0) continue;
      const uint32_t* const at = pixels + pos / 2 * dy + pos % 2 * dx;
      const float4 g[2] = {as_floats(load4(grad + pos * kPitch + 4 * (lane_id() % 8))),
                           as_floats(load4(grad + pos * kPitch + 32 + 4 * (lane_id() % 8)))};
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float4 v = as_floats(load4(at + 16 * half));
        add_row(v.x, g, sum[4 * half]);
        add_row(v.y, g, sum[4 * half + 1]);
        add_row(v.z, g, sum[4 * half + 2]);
        add_row(v.w, g, sum[4 * half + 3]);
      }
      if constexpr (kBias) add_row(1, g, bias);
    }
  }

  // Calls store(channel, filter, four filters' values).
  template <class Store>
  __device__ __forceinline__ void for_each(Store&& store) const {
#pragma unroll
    for (int c = 0; c < 8; ++c) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float(&v)[4] = sum[c][half];
        store(4 * (lane_id() / 8) + c % 4 + 16 * (c / 4), 32 * half + 4 * (lane_id() % 8),
              make_float4(v[0], v[1], v[2], v[3]));
      }
    }
  }
  // Calls store(filter, value) once for each filter.
  template <class Store>
  __device__ __forceinline__ void for_each_bias(Store&& store) const {
    if (lane_id() >= 8) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int i = 0; i < 4; ++i) store(32 * half + 4 * lane_id() + i, bias[half][i]);
    }
  }

 private:
  __device__ static __forceinline__ void add_row(float v, const float4 (&g)[2], float (&to)[2][4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      to[half][0] = fmaf(v, g[half].x, to[half][0]);
      to[half][1] = fmaf(v, g[half].y, to[half][1]);
      to[half][2] = fmaf(v, g[half].z, to[half][2]);
      to[half][3] = fmaf(v, g[half].w, to[half][3]);
    }
  }
};

// k of the products is the pixel: k = t is pixel t of the first quad, k = t + 4 of the second. A 16-byte load of pixel
// t has channels 4g .. 4g + 3: rows g and g + 8 of two m16 tiles. One of gradients has four filters, one for each of
// four column tiles; which four is dealt such that a thread's results are whole, neighbouring 16 bytes. With pixels 8,
// rows of pixels 16 and rows of gradients 4 words apart modulo 32 no bank conflicts.
struct Tf32GradSums {
  static constexpr int kQuads = 2;
  static constexpr int kPitch = kGradFilters + 4;
  float sum[2][8][4];
  float bias[8];

  template <bool kBias>
  __device__ __forceinline__ void add(const GradTile& tile, int quad) {
    const int dx = tile.dx, dy = tile.dy;
    const uint32_t *const x = tile.x, *const grad = tile.grad + 4 * quad * kPitch;
    const QuadEntry* const quads = tile.quads + quad;
    const int g = lane_id() / 4, t = lane_id() % 4;
    uint4 v[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const QuadEntry q = quads[i];
      v[i] = load4(x + q.base + t / 2 * dy + t % 2 * dx + 4 * g);
      if ((q.inside >> t & 1) == 0) v[i] = make_uint4(0, 0, 0, 0);
    }
    const uint32_t a[2][4] = {{v[0].x, v[0].y, v[1].x, v[1].y}, {v[0].z, v[0].w, v[1].z, v[1].w}};
    const uint32_t* const column = grad + t * kPitch + 4 * quartet(g);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const uint4 first = load4(column + 32 * half), second = load4(column + 4 * kPitch + 32 * half);
      add_tile<kBias>(a, first.x, second.x, 4 * half);
      add_tile<kBias>(a, first.y, second.y, 4 * half + 1);
      add_tile<kBias>(a, first.z, second.z, 4 * half + 2);
      add_tile<kBias>(a, first.w, second.w, 4 * half + 3);
    }
  }

  template <class Store>
  __device__ __forceinline__ void for_each(Store&& store) const {
    const int g = lane_id() / 4, t = lane_id() % 4;
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int half = i / 2, column = i % 2;
#pragma unroll
        for (int row = 0; row < 2; ++row) {
          const int d = 2 * row + column;
          store(4 * g + 2 * tile + row, 32 * half + 4 * quartet(2 * t + column),
                make_float4(sum[tile][4 * half][d], sum[tile][4 * half + 1][d], sum[tile][4 * half + 2][d],
                            sum[tile][4 * half + 3][d]));
        }
      }
    }
  }
  template <class Store>
  __device__ __forceinline__ void for_each_bias(Store&& store) const {
    const int g = lane_id() / 4, t = lane_id() % 4;
#pragma unroll
    for (int column = 0; column < 8; ++column) {
      const float total = warp_sum<4>(bias[column]);
      if (t == 0) store(32 * (column / 4) + 4 * quartet(g) + column % 4, total);
    }
  }

 private:
  // The four filters of column g of the tiles; columns 2t of t = 0 .. 3 are neighbours, as are columns 2t + 1.
  __device__ static __forceinline__ int quartet(int g) { return g / 2 + g % 2 * 4; }

  template <bool kBias>
  __device__ __forceinline__ void add_tile(const uint32_t (&a)[2][4], uint32_t first, uint32_t second, int column) {
    const uint32_t b[2] = {first, second};
    mma_m16n8k8_tf32(sum[0][column], a[0], b);
    mma_m16n8k8_tf32(sum[1][column], a[1], b);
    if constexpr (kBias) bias[column] += __uint_as_float(first) + __uint_as_float(second);
  }
};

// As Tf32GradSums with 16 pixels, four quads, at a time, brought in and turned by ldmatrix: its rows are 8 channels (8
// filters) of a pixel. Two quads of a row of quads make a matrix: with pixels 8 words apart modulo 16 and rows of
// pixels an odd multiple of 4 apart its eight rows meet in no bank. (Two quads on either side of a row's end do.)
struct Bf16GradSums {
  static constexpr int kQuads = 4;
  static constexpr int kPitch = kGradFilters / 2 + 4;
  float sum[2][8][4];
  float bias[8];

  template <bool kBias>
  __device__ __forceinline__ void add(const GradTile& tile, int quad) {
    const int dx = tile.dx, dy = tile.dy;
    const uint32_t *const x = tile.x, *const grad = tile.grad + 4 * quad * kPitch;
    const QuadEntry* const quads = tile.quads + quad;
    // Lanes 8i .. 8i + 7 name the rows of matrix i. Of x: channels 8 (i % 2), pixels 8 (i / 2). Of the gradient: pixels
    // 8 (i % 2), filters 8 (i / 2).
    const int matrix = lane_id() / 8, row = lane_id() % 8, pos = row % 4;
    const QuadEntry q = quads[row / 4 + 2 * (matrix / 2)];
    const bool inside = (q.inside >> pos & 1) != 0;
    const uint32_t* const pixel = (inside ? x + q.base + pos / 2 * dy + pos % 2 * dx : tile.zeros) + 4 * (matrix % 2);
    uint32_t a[2][4];
    ldmatrix_x4_trans(a[0], pixel);
    ldmatrix_x4_trans(a[1], pixel + 8);
    const uint32_t* const filters = grad + (row + 8 * (matrix % 2)) * kPitch + 4 * (matrix / 2);
#pragma unroll
    for (int column = 0; column < 8; column += 2) {
      uint32_t b[4];
      ldmatrix_x4_trans(b, filters + 4 * column);
      add_tile<kBias>(a, b[0], b[1], column);
      add_tile<kBias>(a, b[2], b[3], column + 1);
    }
  }

  template <class Store>
  __device__ __forceinline__ void for_each(Store&& store) const {
    const int g = lane_id() / 4, t = lane_id() % 4;
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
      for (int row = 0; row < 2; ++row) {
#pragma unroll
        for (int column = 0; column < 8; column += 2) store_two(tile, row, column, 16 * tile + 8 * row + g, t, store);
      }
    }
  }
  template <class Store>
  __device__ __forceinline__ void for_each_bias(Store&& store) const {
    const int g = lane_id() / 4, t = lane_id() % 4;
#pragma unroll
    for (int column = 0; column < 8; ++column) {
      const float total = warp_sum<4>(bias[column]);
      if (t == 0) store(8 * column + g, total);
    }
  }

 private:
  // Of two column tiles an even lane takes the left one's four neighbouring filters, an odd one the right one's.
  template <class Store>
  __device__ __forceinline__ void store_two(int tile, int row, int column, int channel, int t, Store&& store) const {
    const float(&left)[4] = sum[tile][column];
    const float(&right)[4] = sum[tile][column + 1];
    const bool odd = t % 2 == 1;
    const float send0 = odd ? left[2 * row] : right[2 * row], send1 = odd ? left[2 * row + 1] : right[2 * row + 1];
    const float got0 = __shfl_xor_sync(kFullMask, send0, 1), got1 = __shfl_xor_sync(kFullMask, send1, 1);
    const float4 v = odd ? make_float4(got0, got1, right[2 * row], right[2 * row + 1])
                         : make_float4(left[2 * row], left[2 * row + 1], got0, got1);
    store(channel, 8 * (column + (odd ? 1 : 0)) + 4 * (t / 2), v);
  }

  template <bool kBias>
  __device__ __forceinline__ void add_tile(const uint32_t (&a)[2][4], uint32_t first, uint32_t second, int column) {
    const uint32_t b[2] = {first, second};
    mma_m16n8k16_bf16(sum[0][column], a[0], b);
    mma_m16n8k16_bf16(sum[1][column], a[1], b);
    if constexpr (kBias) bias[column] += (low_bf16(first) + high_bf16(first)) + (low_bf16(second) + high_bf16(second));
  }
};

template <class Math>
struct GradSumsOf;
template <>
struct GradSumsOf<FloatMath> {
  using Type = FloatGradSums;
};
template <>
struct GradSumsOf<Tf32Math> {
  using Type = Tf32GradSums;
};
template <>
struct GradSumsOf<Bf16Math> {
  using Type = Bf16GradSums;
};

// Brings gradients of filters k .. k + 3 of the four pixels of quad (qh, qw) to four rows of shared memory; zero
// outside. One pixel behind the other: the sums leave no registers for more.
template <class Math>
__device__ __forceinline__ void copy_quad(const DenseSource& source, int64_t n, int qh, int qw, int k, uint32_t* to,
                                          int pitch) {
  const int64_t first = ((n * source.H + 2 * qh) * source.W + 2 * qw) * source.C + k;
#pragma unroll 1
  for (int pos = 0; pos < 4; ++pos) {
    const bool inside = 2 * qh + pos / 2 < source.H && 2 * qw + pos % 2 < source.W && k < source.C;
    const float4 v = inside ? source.load(first + (pos / 2 * source.W + pos % 2) * source.C, k) : zero4();
    Math::words(v).store(to + pos * pitch);
  }
}
template <class Math>
__device__ __forceinline__ void copy_quad(const UnpooledSource& source, int64_t n, int qh, int qw, int k, uint32_t* to,
                                          int pitch) {
  UnpooledSource::Pooled g{zero4(), make_uchar4(0, 0, 0, 0)};
  if (qh < source.PH && qw < source.PW && k < source.C) {
    g = source.load(((n * source.PH + qh) * source.PW + qw) * source.C + k, k);
  }
  const WordsOf<Math> words = Math::words(g.value);
#pragma unroll
  for (int pos = 0; pos < 4; ++pos) words.keep(g.position, pos).store(to + pos * pitch);
}

// Gradients of filters [k0, k0 + 64) of the tile's quads; half a warp takes a quad. Up to `quads` there are zeros.
template <class Math, class Source>
__device__ __forceinline__ void load_gradients(const Source& source, const PatchTile& t, const TilePosition& at,
                                               int quads, int k0, int pitch, uint32_t* grad) {
  constexpr int kWords = 4 / Math::kWordChannels;
  const int item = lane_id() % 16, step = 2 * warp_count();
#pragma unroll 1
  for (int quad = 2 * warp_id() + lane_id() / 16; quad < quads; quad += step) {
    const int qh = quad / t.quads_w, qw = quad % t.quads_w;
    copy_quad<Math>(source, at.n, qh < t.quads_h ? at.qh + qh : kNoQuad, at.qw + qw, k0 + 4 * item,
                    grad + 4 * quad * pitch + kWords * item, pitch);
  }
}

// Where the tile's quads are, and those that only fill up.
__device__ __forceinline__ void write_quad_table(const ConvShape& s, const PatchTile& t, const TilePosition& at,
                                                 int quads, QuadEntry* table) {
  for (int quad = static_cast<int>(threadIdx.x); quad < quads; quad += static_cast<int>(blockDim.x)) {
    const int qh = quad / t.quads_w, qw = quad % t.quads_w;
    const int oh = 2 * (at.qh + qh), ow = 2 * (at.qw + qw);
    QuadEntry entry;
    if (qh < t.quads_h && oh < s.OH && ow < s.OW) {
      const int columns = ow + 1 < s.OW ? 3 : 1;
      entry.inside = columns | (oh + 1 < s.OH ? columns << 2 : 0);
      entry.base = quad_base(s, t, {0, qh, qw});
    }
    table[quad] = entry;
  }
}

template <bool kBias, class Sums>
__device__ __forceinline__ void add_quads(Sums& sums, const GradTile& tile, int quads) {
#pragma unroll 1
  for (int quad = 0; quad < quads; quad += Sums::kQuads) sums.template add<kBias>(tile, quad);
}

// Block (x, y, z): chunk x of the slices; y a group of taps, one a warp, of 32 channels; 64 filters z. Shared: patch,
// gradients and quads of one tile. Examples, tiles and pixels are summed in order, whatever the other slices are.
template <class Math, class Source>
__global__ void __launch_bounds__(kGradThreads, 2) conv2d_filter_grad_kernel(FilterGradArgs<Source> a) {
  using Sums = typename GradSumsOf<Math>::Type;
  DYNAMIC_SHARED(uint32_t, shared);
  const ConvShape& s = a.shape;
  const PatchTile& t = a.tile;
  const int slice = static_cast<int>(blockIdx.x) / a.slices.slots, slot = static_cast<int>(blockIdx.x) % a.slices.slots;
  const ExampleRange range = chunk_range(a.slices, slice, slot);
  if (range.begin == range.end) return;
  const int groups = (s.R * s.S + a.taps_per_group - 1) / a.taps_per_group;
  const int tap = static_cast<int>(blockIdx.y) % groups * a.taps_per_group + warp_id();
  const int c0 = static_cast<int>(blockIdx.y) / groups * kGradChannels,
            k0 = static_cast<int>(blockIdx.z) * kGradFilters;
  const int quads = (t.quads_h * t.quads_w + Sums::kQuads - 1) / Sums::kQuads * Sums::kQuads;
  uint32_t* const patch = shared;
  uint32_t* const grad = shared + t.image_pitch;
  uint32_t* const zeros = grad + 4 * quads * Sums::kPitch;
  if (static_cast<int>(threadIdx.x) < kZeroWords) zeros[threadIdx.x] = 0;
  QuadEntry* const table = reinterpret_cast<QuadEntry*>(zeros + kZeroWords);
  const bool with_bias = tap == 0 && c0 == 0;
  const GradTile operands{patch + (tap / s.S) * t.row_pitch + (tap % s.S) * t.pixel_pitch,
                          s.stride * t.pixel_pitch,
                          s.stride * t.row_pitch,
                          grad,
                          table,
                          zeros};

  Sums sums = {};
  for (int e = 0, examples = static_cast<int>(range.end - range.begin); e < examples; ++e) {
    for (int tile = 0; tile < t.tiles_h * t.tiles_w; ++tile) {
      const TilePosition at = tile_position(s, t, range.begin + e, tile);
      __syncthreads();  // the tile before is not read any more
      load_patch<Math, 1>(a.x, t, at, at.n + 1, c0, patch);
      load_gradients<Math>(a.grad, t, at, quads, k0, Sums::kPitch, grad);
      write_quad_table(s, t, at, quads, table);
      __syncthreads();
      if (tap >= s.R * s.S) continue;  // a warp without a tap only helps to load
      if (with_bias) {
        add_quads<true>(sums, operands, quads);
      } else {
        add_quads<false>(sums, operands, quads);
      }
    }
  }
  if (tap >= s.R * s.S) return;
  float* const partial = a.partials + static_cast<int64_t>(blockIdx.x) * a.partial_stride;
  const bool vector = a.grad.vector && a.partial_stride % 4 == 0;  // K % 4 == 0, and partials are aligned
  sums.for_each([&](int channel, int filter, float4 v) {
    const int c = c0 + channel, k = k0 + filter;
    if (c >= s.C || k >= s.K) return;
    float* const to = partial + (static_cast<int64_t>(tap) * s.C + c) * s.K + k;
    if (vector) {
      store4(to, v);
    } else {
      store_some(to, v, s.K - k);
    }
  });
  if (!with_bias) return;
  float* const bias = partial + static_cast<int64_t>(s.R) * s.S * s.C * s.K;
  sums.for_each_bias([&](int filter, float v) {
    if (k0 + filter < s.K) bias[k0 + filter] = v;
  });
}

}  // namespace lockstep::cuda
