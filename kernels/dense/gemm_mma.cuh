// SPDX-License-Identifier: Apache-2.0
// A tile of a matrix product on tensor cores: float operands rounded to TF32 or bfloat16 on the way into the registers,
// float sums.
#pragma once

#include "kernels/dense/gemm_tile.cuh"

namespace lockstep::cuda {

// Fragments of m16n8k8 with TF32: lane (g, t) = (lane / 4, lane % 4) holds single k. See mma.cuh for the layouts.
struct Tf32 {
  static constexpr int kStep = 8;  // of k
  template <Major kMajor>
  static constexpr int kPad = kMajor == Major::kK ? 4 : 8;  // banks 4 g + t, or 8 t + g

  template <Major kMajor, class Layout>
  static __device__ __forceinline__ float element(const float* tile, int outer, int k, int t) {
    return kMajor == Major::kK ? tile[Layout::at(outer, k) + t] : tile[Layout::at(outer, k + t)];
  }
  template <Major kMajor, class Layout>
  static __device__ __forceinline__ uint32_t load(const float* tile, int outer, int k, int half, int t) {
    return to_tf32(element<kMajor, Layout>(tile, outer, k + 4 * half, t));
  }
  static __device__ __forceinline__ void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    mma_m16n8k8_tf32(d, a, b);
  }
};

// Fragments of m16n8k16 with bfloat16: pairs of k.
struct Bf16 {
  static constexpr int kStep = 16;
  template <Major kMajor>
  static constexpr int kPad = kMajor == Major::kK ? 8 : 4;  // banks 8 g + 2 t of half a warp, or 4 (2 t) + g

  template <Major kMajor, class Layout>
  static __device__ __forceinline__ uint32_t load(const float* tile, int outer, int k, int half, int t) {
    if constexpr (kMajor == Major::kK) {
      const float2 pair = load2(tile + Layout::at(outer, k + 8 * half + 2 * t));
      return pack_bf16(pair.x, pair.y);
    } else {
      const int first = k + 8 * half + 2 * t;
      return pack_bf16(tile[Layout::at(outer, first)], tile[Layout::at(outer, first + 1)]);
    }
  }
  static __device__ __forceinline__ void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    mma_m16n8k16_bf16(d, a, b);
  }
};

// A warp sums (16 kMmaM) x (8 kMmaN) elements.
template <class Number, int kMmaM, int kMmaN, int kWarpsM, int kWarpsN, int kDepth_, int kBlocks_>
struct MmaTile {
  static constexpr int kM = 16 * kMmaM * kWarpsM, kN = 8 * kMmaN * kWarpsN, kDepth = kDepth_;
  static constexpr int kThreads = 32 * kWarpsM * kWarpsN;
  static constexpr int kBlocks = kBlocks_;
  template <Major kMajor>
  static constexpr int kPadA = Number::template kPad<kMajor>;
  template <Major kMajor>
  static constexpr int kPadB = Number::template kPad<kMajor>;

  struct Sums {
    static constexpr int kCount = kMmaM * kMmaN * 4;
    float v[kMmaM][kMmaN][4] = {};
    __device__ __forceinline__ float& at(int i) { return v[i / 4 / kMmaN][i / 4 % kMmaN][i % 4]; }
  };

  static __device__ __forceinline__ int group() { return static_cast<int>(threadIdx.x % kWarpSize / 4); }
  static __device__ __forceinline__ int in_group() { return static_cast<int>(threadIdx.x % 4); }
  static __device__ __forceinline__ int first_row() {
    return static_cast<int>(threadIdx.x / kWarpSize) / kWarpsN * 16 * kMmaM;
  }
  static __device__ __forceinline__ int first_column() {
    return static_cast<int>(threadIdx.x / kWarpSize) % kWarpsN * 8 * kMmaN;
  }

  template <Major kMajorA, Major kMajorB, class LayoutA, class LayoutB>
  static __device__ __forceinline__ void multiply(const float* a, const float* b, Sums& acc) {
    const int row = first_row() + group(), column = first_column() + group(), t = in_group();
#pragma unroll 1
    for (int k = 0; k < kDepth; k += Number::kStep) {
      uint32_t bv[kMmaN][2];
#pragma unroll
      for (int j = 0; j < kMmaN; ++j) {
        bv[j][0] = Number::template load<kMajorB, LayoutB>(b, column + 8 * j, k, 0, t);
        bv[j][1] = Number::template load<kMajorB, LayoutB>(b, column + 8 * j, k, 1, t);
      }
#pragma unroll
      for (int i = 0; i < kMmaM; ++i) {
        const int r = row + 16 * i;
        const uint32_t av[4] = {Number::template load<kMajorA, LayoutA>(a, r, k, 0, t),
                                Number::template load<kMajorA, LayoutA>(a, r + 8, k, 0, t),
                                Number::template load<kMajorA, LayoutA>(a, r, k, 1, t),
                                Number::template load<kMajorA, LayoutA>(a, r + 8, k, 1, t)};
#pragma unroll
        for (int j = 0; j < kMmaN; ++j) Number::multiply(acc.v[i][j], av, bv[j]);
      }
    }
  }

  template <Major kMajorB>
  static constexpr int kRun = 2;
  template <Major kMajorA, Major kMajorB, class F>
  static __device__ __forceinline__ void visit(const Sums& acc, const F& f) {
#pragma unroll
    for (int i = 0; i < kMmaM; ++i) {
#pragma unroll
      for (int j = 0; j < kMmaN; ++j) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const float values[2] = {acc.v[i][j][2 * half], acc.v[i][j][2 * half + 1]};
          f(first_row() + group() + 16 * i + 8 * half, first_column() + 8 * j + 2 * in_group(), values);
        }
      }
    }
  }
};

}  // namespace lockstep::cuda
