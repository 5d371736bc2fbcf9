// SPDX-License-Identifier: Apache-2.0
// A tile of a matrix product in float, on the ordinary units.
#pragma once

#include "kernels/dense/gemm_tile.cuh"

namespace lockstep::cuda {

// A thread sums kThreadM x kThreadN elements; the 32 of a warp lie 4 x 8. With 8 x 8, each k costs a thread four
// 16-byte loads from shared memory and 64 multiply-adds: both pipes of an SM are then equally busy.
template <int kThreadM, int kThreadN, int kWarpsM, int kWarpsN, int kDepth_, int kBlocks_>
struct Fp32Tile {
  static constexpr int kM = 4 * kThreadM * kWarpsM, kN = 8 * kThreadN * kWarpsN, kDepth = kDepth_;
  static constexpr int kThreads = 32 * kWarpsM * kWarpsN;
  static constexpr int kBlocks = kBlocks_;  // on an SM at once, for the compiler's choice of registers
  // A warp reads four rows of A, or their four neighbouring columns, at once, and eight of B.
  template <Major kMajor>
  static constexpr int kPadA = kMajor == Major::kK&& kDepth % 32 == 0 ? 4 : 0;
  template <Major kMajor>
  static constexpr int kPadB = kMajor == Major::kK ? 4 : 0;
  static_assert(kThreadM % 4 == 0 && kThreadN % 4 == 0);

  struct Sums {
    static constexpr int kCount = kThreadM * kThreadN;
    float v[kThreadM][kThreadN] = {};
    __device__ __forceinline__ float& at(int i) { return v[i / kThreadN][i % kThreadN]; }
  };

  // Row i of a thread in A's tile, column j in B's: neighbouring ones where four of them are read at once.
  template <Major kMajor>
  static __device__ __forceinline__ int row(int thread, int i) {
    const int first = thread / kWarpSize / kWarpsN * 4 * kThreadM, lane = thread % kWarpSize;
    return first + (kMajor == Major::kK ? lane / 8 + 4 * i : 4 * (lane / 8) + 16 * (i / 4) + i % 4);
  }
  template <Major kMajor>
  static __device__ __forceinline__ int column(int thread, int j) {
    const int first = thread / kWarpSize % kWarpsN * 8 * kThreadN, lane = thread % kWarpSize;
    return first + (kMajor == Major::kK ? lane % 8 + 8 * j : 4 * (lane % 8) + 32 * (j / 4) + j % 4);
  }

  // Two k at a time: more would need more registers for B's columns than there are.
  template <Major kMajorA, Major kMajorB, class LayoutA, class LayoutB>
  static __device__ __forceinline__ void multiply(const float* a, const float* b, Sums& acc) {
    const int thread = static_cast<int>(threadIdx.x);
    constexpr int kUnroll = kMajorA == Major::kK ? 1 : kDepth / 2;
#pragma unroll kUnroll
    for (int k = 0; k < kDepth; k += 2) {
      float bv[2][kThreadN];  // [k][j]
      load_b<kMajorB, LayoutB>(b, k, bv);
      if constexpr (kMajorA == Major::kK) {
#pragma unroll
        for (int i = 0; i < kThreadM; ++i) {
          const float2 av = load2(a + LayoutA::at(row<kMajorA>(thread, i), k));
          add_row(av.x, bv[0], acc.v[i]);
          add_row(av.y, bv[1], acc.v[i]);
        }
      } else {
#pragma unroll
        for (int kk = 0; kk < 2; ++kk) {
#pragma unroll
          for (int i = 0; i < kThreadM; i += 4) {
            const float4 av = load4(a + LayoutA::at(row<kMajorA>(thread, i), k + kk));
            add_row(av.x, bv[kk], acc.v[i]);
            add_row(av.y, bv[kk], acc.v[i + 1]);
            add_row(av.z, bv[kk], acc.v[i + 2]);
            add_row(av.w, bv[kk], acc.v[i + 3]);
          }
        }
      }
    }
  }

  // f(row, column, values): kRun<kMajorB> neighbouring columns of one row, for all elements of the thread.
  template <Major kMajorB>
  static constexpr int kRun = kMajorB == Major::kK ? 1 : 4;
  template <Major kMajorA, Major kMajorB, class F>
  static __device__ __forceinline__ void visit(const Sums& acc, const F& f) {
    constexpr int kStep = kRun<kMajorB>;
    const int thread = computed_here(static_cast<int>(threadIdx.x));
#pragma unroll
    for (int i = 0; i < kThreadM; ++i) {
#pragma unroll
      for (int j = 0; j < kThreadN; j += kStep) {
        float values[kStep];
#pragma unroll
        for (int n = 0; n < kStep; ++n) values[n] = acc.v[i][j + n];
        f(row<kMajorA>(thread, i), column<kMajorB>(thread, j), values);
      }
    }
  }

 private:
  static __device__ __forceinline__ void add_row(float a, const float (&b)[kThreadN], float (&acc)[kThreadN]) {
#pragma unroll
    for (int j = 0; j < kThreadN; ++j) acc[j] = fmaf(a, b[j], acc[j]);
  }

  template <Major kMajorB, class LayoutB>
  static __device__ __forceinline__ void load_b(const float* b, int k, float (&bv)[2][kThreadN]) {
    const int thread = static_cast<int>(threadIdx.x);
    if constexpr (kMajorB == Major::kK) {
#pragma unroll
      for (int j = 0; j < kThreadN; ++j) {
        const float2 v = load2(b + LayoutB::at(column<kMajorB>(thread, j), k));
        bv[0][j] = v.x, bv[1][j] = v.y;
      }
    } else {
#pragma unroll
      for (int kk = 0; kk < 2; ++kk) {
#pragma unroll
        for (int j = 0; j < kThreadN; j += 4) {
          const float4 v = load4(b + LayoutB::at(column<kMajorB>(thread, j), k + kk));
          bv[kk][j] = v.x, bv[kk][j + 1] = v.y, bv[kk][j + 2] = v.z, bv[kk][j + 3] = v.w;
        }
      }
    }
  }
};

}  // namespace lockstep::cuda
