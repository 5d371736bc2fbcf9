// SPDX-License-Identifier: Apache-2.0
// Dense layers of few outputs (the logits: 1024 -> 10), where a tile of a matrix product would be mostly empty. All
// three passes read or write the (N, I) side once and are bound by that; the weights stay in shared memory or
// registers. 2 kPairs is at least O; columns from O on are zero.
#pragma once

#include <cstdint>

#include "kernels/launch.h"
#include "kernels/reduce.cuh"
#include "kernels/vec.cuh"

namespace lockstep::cuda {

struct SmallDense {
  int64_t N;
  int I, O;
  bool relu;
};

// Rows of `kPairs` pairs in shared memory, an odd number of pairs apart: 16 lanes that read the pairs of neighbouring
// rows use all banks once.
template <int kPairs>
constexpr int kPairStride = 2 * (kPairs | 1);

// rows [row0, row0 + count) of a matrix (rows, O) into shared memory; zero beyond the matrix and its columns.
template <int kPairs>
__device__ __forceinline__ void stage_rows(const float* from, int64_t row0, int64_t rows, int count, int O, float* to) {
  for (int e = static_cast<int>(threadIdx.x); e < count * 2 * kPairs; e += static_cast<int>(blockDim.x)) {
    const int row = e / (2 * kPairs), o = e % (2 * kPairs);
    const bool inside = row0 + row < rows && o < O;
    to[row * kPairStride<kPairs> + o] = inside ? from[(row0 + row) * O + o] : 0.0f;
  }
}

// The same for grad_y, masked where y <= 0 (y null: no mask).
template <int kPairs>
__device__ __forceinline__ void stage_grads(const float* grad_y, const float* y, int64_t row0, int64_t rows, int count,
                                            int O, float* to) {
  for (int e = static_cast<int>(threadIdx.x); e < count * 2 * kPairs; e += static_cast<int>(blockDim.x)) {
    const int row = e / (2 * kPairs), o = e % (2 * kPairs);
    const int64_t at = (row0 + row) * O + o;
    const bool inside = row0 + row < rows && o < O;
    to[row * kPairStride<kPairs> + o] = inside && !(y != nullptr && y[at] <= 0) ? grad_y[at] : 0.0f;
  }
}

constexpr int kSmallRows = 512;  // of the weights in shared memory at once

// y (N, O) = x (N, I) w (I, O) + b. A warp handles kExamples examples: lanes stride over I, then a butterfly adds them:
// the order of the sum depends on I alone. Shared: 20 KB (kPairs = 5).
template <int kPairs, int kExamples>
__global__ __launch_bounds__(256, 2) void dense_small_fwd_kernel(SmallDense p, const float* x, const float* w,
                                                                 const float* b, float* y) {
  DYNAMIC_SHARED(float, rows);
  constexpr int kStride = kPairStride<kPairs>;
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  const int64_t warp = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kWarpSize;
  const int64_t n0 = warp * kExamples;
  float sum[kExamples][2 * kPairs] = {};
  for (int i0 = 0; i0 < p.I; i0 += kSmallRows) {
    __syncthreads();  // nobody reads the rows of the round before
    stage_rows<kPairs>(w, i0, p.I, min(kSmallRows, p.I - i0), p.O, rows);
    __syncthreads();
    const int end = min(kSmallRows, p.I - i0);
    for (int i = lane; i < end; i += kWarpSize) {
      float xs[kExamples];
#pragma unroll
      for (int e = 0; e < kExamples; ++e) xs[e] = n0 + e < p.N ? x[(n0 + e) * p.I + i0 + i] : 0.0f;
#pragma unroll
      for (int o = 0; o < 2 * kPairs; o += 2) {
        const float2 ws = load2(rows + i * kStride + o);
#pragma unroll
        for (int e = 0; e < kExamples; ++e) {
          sum[e][o] = fmaf(xs[e], ws.x, sum[e][o]);
          sum[e][o + 1] = fmaf(xs[e], ws.y, sum[e][o + 1]);
        }
      }
    }
  }
  // The rows of a block go out together: one alone is not a whole number of sectors.
  __syncthreads();                                                              // nobody reads weights any more
  const int first_row = static_cast<int>(threadIdx.x / kWarpSize) * kExamples;  // of the warp in the block
#pragma unroll
  for (int e = 0; e < kExamples; ++e) {
    float own = 0;  // of output `lane`
#pragma unroll
    for (int o = 0; o < 2 * kPairs; ++o) {
      const float total = warp_sum(sum[e][o]);
      own = lane == o ? total : own;
    }
    if (lane >= p.O) continue;
    own += b[lane];
    rows[(first_row + e) * p.O + lane] = p.relu && own < 0 ? 0.0f : own;
  }
  __syncthreads();
  const int64_t block_n0 = n0 - first_row, left = p.N - block_n0;
  constexpr int kBlockExamples = 256 / kWarpSize * kExamples;
  const int values = static_cast<int>(left < kBlockExamples ? left : kBlockExamples) * p.O;
  for (int i = static_cast<int>(threadIdx.x); i < values; i += 256) y[block_n0 * p.O + i] = rows[i];
}

constexpr int kSmallColumns = 2;    // of grad_x that a thread writes
constexpr int kSmallExamples = 32;  // of a block

// grad_x (N, I) = masked grad_y (N, O) w^T. A thread keeps the weights of kSmallColumns inputs in registers and walks
// over the examples of the block, whose gradients all threads read from shared memory. Shared: 22 KB (kPairs = 5).
template <int kPairs>
__global__ __launch_bounds__(256) void dense_small_bwd_data_kernel(SmallDense p, const float* w, const float* y,
                                                                   const float* grad_y, float* grad_x) {
  DYNAMIC_SHARED(float, rows);
  constexpr int kThreads = 256, kInputs = kThreads * kSmallColumns, kStride = kPairStride<kPairs>;
  float* const grads = rows + kInputs * kStride;
  const int t = static_cast<int>(threadIdx.x);
  const int i0 = static_cast<int>(blockIdx.x) * kInputs;
  const int64_t n0 = static_cast<int64_t>(blockIdx.y) * kSmallExamples;
  stage_rows<kPairs>(w, i0, p.I, kInputs, p.O, rows);
  stage_grads<kPairs>(grad_y, p.relu ? y : nullptr, n0, p.N, kSmallExamples, p.O, grads);
  __syncthreads();
  float2 ws[kSmallColumns][kPairs];
#pragma unroll
  for (int c = 0; c < kSmallColumns; ++c) {
#pragma unroll
    for (int o = 0; o < kPairs; ++o) ws[c][o] = load2(rows + (t + c * kThreads) * kStride + 2 * o);
  }
  const int examples = static_cast<int>(p.N - n0 < kSmallExamples ? p.N - n0 : kSmallExamples);
  for (int e = 0; e < examples; ++e) {
    float sum[kSmallColumns] = {};
#pragma unroll
    for (int o = 0; o < kPairs; ++o) {
      const float2 g = load2(grads + e * kStride + 2 * o);
#pragma unroll
      for (int c = 0; c < kSmallColumns; ++c) sum[c] = fmaf(g.y, ws[c][o].y, fmaf(g.x, ws[c][o].x, sum[c]));
    }
#pragma unroll
    for (int c = 0; c < kSmallColumns; ++c) {
      const int i = i0 + t + c * kThreads;
      if (i < p.I) grad_x[(n0 + e) * p.I + i] = sum[c];
    }
  }
}

constexpr int kSmallInputs = 128;  // of a block
constexpr int kSmallGroups = 4;    // of threads that share the examples of a slice

// Gradients of the weights and the bias over the examples [begin, end) of each slice s = blockIdx.y: rows of (I, O) at
// grad_w + s * stride_w, the bias at grad_b + s * stride_b. Thread (group, i) sums input i over every fourth example of
// the slice; the groups' sums are added along a tree. Row I stands for the bias: an input that is always 1.
// Shared: 25 KB (kPairs = 5). With more pairs two blocks of a multiprocessor would leave too few registers (sm_120
// spilled).
template <int kPairs, class Offsets>
__global__ __launch_bounds__(kSmallInputs* kSmallGroups, kPairs <= 5 ? 2 : 1) void dense_small_bwd_filter_kernel(
    SmallDense p, __grid_constant__ const Offsets offsets, const float* x, const float* y, const float* grad_y,
    float* grad_w, int64_t stride_w, float* grad_b, int64_t stride_b) {
  DYNAMIC_SHARED(float, shared);
  constexpr int kStride = kPairStride<kPairs>;
  const int t = static_cast<int>(threadIdx.x), column = t % kSmallInputs, group = t / kSmallInputs;
  const int s = static_cast<int>(blockIdx.y);
  const int i0 = static_cast<int>(blockIdx.x) * kSmallInputs, i = i0 + column;
  const int begin = offsets.at[s], end = offsets.at[s + 1];
  float sum[2 * kPairs] = {};
  for (int n0 = begin; n0 < end; n0 += kSmallExamples) {
    __syncthreads();  // nobody reads the gradients of the round before
    stage_grads<kPairs>(grad_y, p.relu ? y : nullptr, n0, end, kSmallExamples, p.O, shared);
    __syncthreads();
#pragma unroll
    for (int e = 0; e < kSmallExamples / kSmallGroups; ++e) {
      const int example = e * kSmallGroups + group, n = n0 + example;
      // Where there is no example the gradient is zero, and there must be no NaN to multiply it with.
      const float xv = n >= end || i > p.I ? 0.0f : i == p.I ? 1.0f : x[static_cast<int64_t>(n) * p.I + i];
#pragma unroll
      for (int o = 0; o < 2 * kPairs; o += 2) {
        const float2 g = load2(shared + example * kStride + o);
        sum[o] = fmaf(xv, g.x, sum[o]);
        sum[o + 1] = fmaf(xv, g.y, sum[o + 1]);
      }
    }
  }
  __syncthreads();                                         // the gradients make room for the groups' sums
  constexpr int kPlane = kSmallInputs * (2 * kPairs + 1);  // odd rows: neighbouring columns in different banks
#pragma unroll
  for (int o = 0; o < 2 * kPairs; ++o) shared[group * kPlane + column * (2 * kPairs + 1) + o] = sum[o];
  __syncthreads();
  for (int e = t; e < kSmallInputs * p.O; e += kSmallInputs * kSmallGroups) {
    const int row = i0 + e / p.O, o = e % p.O;
    if (row > p.I) continue;
    const float* const v = shared + e / p.O * (2 * kPairs + 1) + o;
    const float total = (v[0] + v[kPlane]) + (v[2 * kPlane] + v[3 * kPlane]);
    if (row < p.I) {
      grad_w[s * stride_w + static_cast<int64_t>(row) * p.O + o] = total;
    } else {
      grad_b[s * stride_b + o] = total;
    }
  }
}

}  // namespace lockstep::cuda
