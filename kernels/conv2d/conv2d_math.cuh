// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the patch convolution: float FMAs, or tensor cores on tf32 or bfloat16 products with float sums.
//
// A warp owns 64 filters for 8 quads (kBlockK = 64), or 32 filters for 16 quads (kBlockK = 32): 64 sums a thread either
// way. `multiply` adds the products of one tap: `pixels` is the patch at the tap, `base` the offsets of the thread's
// quads in it, `dx` and `dy` the steps to a quad's right and lower pixels, `slab` the tap's packed filters
// (conv2d_pack.cuh).
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d_source.cuh"
#include "kernels/launch.h"
#include "kernels/mma.cuh"
#include "kernels/vec.cuh"

namespace lockstep::cuda {

constexpr int kWarpOutputs = 512;  // quads times filters of a warp

__device__ __forceinline__ int lane_id() { return static_cast<int>(threadIdx.x % 32); }
__device__ __forceinline__ int warp_id() { return static_cast<int>(threadIdx.x / 32); }
__device__ __forceinline__ int warp_count() { return static_cast<int>(blockDim.x / 32); }

__device__ __forceinline__ uint4 as_words(float4 v) {
  return make_uint4(__float_as_uint(v.x), __float_as_uint(v.y), __float_as_uint(v.z), __float_as_uint(v.w));
}
__device__ __forceinline__ float4 as_floats(uint4 v) {
  return make_float4(__uint_as_float(v.x), __uint_as_float(v.y), __uint_as_float(v.z), __uint_as_float(v.w));
}

// The same value, of which the compiler knows nothing: keeps it from holding in registers what shared memory holds.
__device__ __forceinline__ int opaque(int value) {
  asm volatile("" : "+r"(value));
  return value;
}
// A lane has 8 filters and two quads of its warp: kBlockK / 8 neighbouring lanes read one pixel and between them all
// filters, the others other pixels. Per four channels that is 16 loads of 16 bytes for 256 FMAs, without bank
// conflicts.
template <int kBlockK>
struct FloatSums {
  static constexpr int kQuads = 2;
  static constexpr int kGroups = 2;
  static constexpr int kFilterLanes = kBlockK / 8, kQuadLanes = 32 / kFilterLanes;
  float sum[kQuads][4][kGroups][4];

  __device__ static int quad(int i) { return kQuadLanes * (kQuads * warp_id() + i) + lane_id() / kFilterLanes; }
  __device__ static int filter(int group) { return kBlockK / 2 * group + 4 * (lane_id() % kFilterLanes); }
  __device__ float4 value(int i, int pos, int group) const {
    const float(&v)[4] = sum[i][pos][group];
    return make_float4(v[0], v[1], v[2], v[3]);
  }

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < kQuads * 4 * kGroups * 4; ++i) (&sum[0][0][0][0])[i] = 0;
  }

  __device__ __forceinline__ void multiply(const uint32_t* pixels, const int (&base)[kQuads], int dx, int dy,
                                           const uint32_t* slab, int words) {
#pragma unroll 1
    for (int w = 0; w < words; w += 4) {
      float4 f[4][kGroups];  // of four channels; pixels then come one by one
#pragma unroll
      for (int c = 0; c < 4; ++c) {
#pragma unroll
        for (int group = 0; group < kGroups; ++group) {
          f[c][group] = as_floats(load4(slab + (w + c) * kBlockK + filter(group)));
        }
      }
#pragma unroll
      for (int i = 0; i < kQuads; ++i) {
#pragma unroll
        for (int pos = 0; pos < 4; ++pos) {
          const float4 x = as_floats(load4(pixels + base[i] + pos / 2 * dy + pos % 2 * dx + w));
#pragma unroll
          for (int group = 0; group < kGroups; ++group) {
            float(&v)[4] = sum[i][pos][group];
            add_channel(x.x, f[0][group], v);
            add_channel(x.y, f[1][group], v);
            add_channel(x.z, f[2][group], v);
            add_channel(x.w, f[3][group], v);
          }
        }
      }
    }
  }

 private:
  __device__ static __forceinline__ void add_channel(float x, float4 f, float (&v)[4]) {
    v[0] = fmaf(x, f.x, v[0]);
    v[1] = fmaf(x, f.y, v[1]);
    v[2] = fmaf(x, f.z, v[2]);
    v[3] = fmaf(x, f.w, v[3]);
  }
};

// Octets of quads as pairs of m16 tiles, one tile per row of the quads: tile row g is the left pixel of quad g of the
// octet, row g + 8 the right one. The order of the products in a sum is free, so k runs over words as 16-byte loads
// deliver them: step j of a group of 16 words has words 4t + 2j (k = t) and 4t + 2j + 1 (k = t + 4), t = lane % 4; for
// bfloat16 a word is the pair of k that a register holds. Neighbouring quads must lie 16 words apart modulo 32: then
// the two quads that a quarter of the warp loads meet in no bank.
// Filters are dealt to the columns such that a thread ends with 4 neighbouring ones: see packed_filter().
template <int kBlockK, class Mma>
struct TensorSums {
  static constexpr int kQuads = 64 / kBlockK;  // octets of the warp, one quad of each
  static constexpr int kGroups = kBlockK / 16;
  float sum[kQuads][2][kBlockK / 8][4];

  __device__ static int quad(int i) { return kWarpOutputs / kBlockK * warp_id() + 8 * i + lane_id() / 4; }
  __device__ static int filter(int group) { return 16 * group + 4 * (lane_id() % 4); }
  __device__ float4 value(int i, int pos, int group) const {
    const float(&low)[4] = sum[i][pos / 2][2 * group];
    const float(&high)[4] = sum[i][pos / 2][2 * group + 1];
    const int right = pos % 2 * 2;
    return make_float4(low[right], low[right + 1], high[right], high[right + 1]);
  }

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < kQuads * 2 * kBlockK / 8 * 4; ++i) (&sum[0][0][0][0])[i] = 0;
  }

  __device__ __forceinline__ void multiply(const uint32_t* pixels, const int (&base)[kQuads], int dx, int dy,
                                           const uint32_t* slab, int words) {
    const uint32_t* const mine = pixels + 4 * (lane_id() % 4);
    const uint32_t* filters = slab + 4 * lane_id();
#pragma unroll 1
    for (int w = 0; w < words; w += 16) {
      uint4 x[kQuads][4];
#pragma unroll
      for (int i = 0; i < kQuads; ++i) {
#pragma unroll
        for (int pos = 0; pos < 4; ++pos) x[i][pos] = load4(mine + base[i] + pos / 2 * dy + pos % 2 * dx + w);
      }
      filters = step<false>(x, filters);
      filters = step<true>(x, filters);
    }
  }

 private:
  template <bool kSecond>
  __device__ __forceinline__ const uint32_t* step(const uint4 (&x)[kQuads][4], const uint32_t* filters) {
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      const uint4 f = load4(filters);
      filters += 128;
      const uint32_t f_low[2] = {f.x, f.y}, f_high[2] = {f.z, f.w};
#pragma unroll
      for (int i = 0; i < kQuads; ++i) {
#pragma unroll
        for (int row = 0; row < 2; ++row) {
          const uint4 left = x[i][2 * row], right = x[i][2 * row + 1];
          const uint32_t a[4] = {kSecond ? left.z : left.x, kSecond ? right.z : right.x, kSecond ? left.w : left.y,
                                 kSecond ? right.w : right.y};
          Mma::add(sum[i][row][2 * group], a, f_low);
          Mma::add(sum[i][row][2 * group + 1], a, f_high);
        }
      }
    }
    return filters;
  }
};

// How each kind of arithmetic holds four channels in shared memory: four words, or two. keep() are those whose position
// in a pool's window is `pos`, the others zero.
struct FloatWords {
  uint4 v;

  __device__ __forceinline__ FloatWords keep(uchar4 position, int pos) const {
    return {make_uint4(position.x == pos ? v.x : 0, position.y == pos ? v.y : 0, position.z == pos ? v.z : 0,
                       position.w == pos ? v.w : 0)};
  }
  __device__ __forceinline__ void store(uint32_t* to) const { store_shared4(to, v); }
};

struct FloatMath {
  static constexpr int kWordChannels = 1;
  template <int kBlockK>
  using Sums = FloatSums<kBlockK>;
  __device__ static __forceinline__ FloatWords words(float4 v) { return {as_words(v)}; }
  __device__ static __forceinline__ uint32_t word(float v, float) { return __float_as_uint(v); }
};

struct Tf32Math {
  static constexpr int kWordChannels = 1;
  template <int kBlockK>
  using Sums = TensorSums<kBlockK, Tf32Math>;
  __device__ static __forceinline__ FloatWords words(float4 v) {
    return {make_uint4(to_tf32(v.x), to_tf32(v.y), to_tf32(v.z), to_tf32(v.w))};
  }
  __device__ static __forceinline__ uint32_t word(float v, float) { return to_tf32(v); }
  __device__ static __forceinline__ void add(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    mma_m16n8k8_tf32(d, a, b);
  }
};

struct Bf16Words {
  uint2 v;

  __device__ __forceinline__ Bf16Words keep(uchar4 position, int pos) const {
    return {make_uint2(v.x & mask(position.x, position.y, pos), v.y & mask(position.z, position.w, pos))};
  }
  __device__ __forceinline__ void store(uint32_t* to) const { store_shared2(to, v); }

 private:
  __device__ static __forceinline__ uint32_t mask(int low, int high, int pos) {
    return (low == pos ? 0x0000ffffu : 0u) | (high == pos ? 0xffff0000u : 0u);
  }
};

struct Bf16Math {
  static constexpr int kWordChannels = 2;
  template <int kBlockK>
  using Sums = TensorSums<kBlockK, Bf16Math>;
  __device__ static __forceinline__ Bf16Words words(float4 v) {
    return {make_uint2(pack_bf16(v.x, v.y), pack_bf16(v.z, v.w))};
  }
  __device__ static __forceinline__ uint32_t word(float v, float next) { return pack_bf16(v, next); }
  __device__ static __forceinline__ void add(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    mma_m16n8k16_bf16(d, a, b);
  }
};

template <class Math>
using WordsOf = decltype(Math::words(float4{}));

}  // namespace lockstep::cuda
