// SPDX-License-Identifier: Apache-2.0
// Sums and maxima over a warp and over a block, in an order that depends on the number of threads alone. Every thread
// of the warp (block) must call, with the neutral value where it has none.
#pragma once

#include <cstdint>

#include "kernels/launch.h"

namespace lockstep {

constexpr unsigned kFullMask = 0xffffffffu;
constexpr int kWarpSize = 32;

struct Add {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
// NaN wins, so that a diverged run is seen.
struct Max {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};

// A butterfly over the aligned groups of `Width` lanes: every lane of the group gets the same bits.
template <int Width = kWarpSize, typename T, typename Op>
__device__ __forceinline__ T warp_reduce(T value, Op op) {
#pragma unroll
  for (int distance = Width / 2; distance > 0; distance /= 2) {
    const T other = __shfl_xor_sync(kFullMask, value, distance);
    // The same order of operands in both lanes, for the sake of NaN payloads and signed zeros.
    value = (threadIdx.x & static_cast<unsigned>(distance)) != 0 ? op(other, value) : op(value, other);
  }
  return value;
}
template <int Width = kWarpSize, typename T>
__device__ __forceinline__ T warp_sum(T value) {
  return warp_reduce<Width>(value, Add{});
}
template <int Width = kWarpSize, typename T>
__device__ __forceinline__ T warp_max(T value) {
  return warp_reduce<Width>(value, Max{});
}

// Over a block of one dimension, a multiple of 32 threads; every thread gets the result. `scratch` is shared memory of
// 32 elements; it may be used again at once. `neutral` must not change any value.
template <typename T, typename Op>
__device__ __forceinline__ T block_reduce(T value, T neutral, Op op, T* scratch) {
  const unsigned lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  const unsigned warps = blockDim.x / kWarpSize;
  value = warp_reduce(value, op);
  if (lane == 0) scratch[warp] = value;
  __syncthreads();  // the first lanes of other warps wrote what follows
  value = warp_reduce(lane < warps ? scratch[lane] : neutral, op);
  __syncthreads();  // before the caller writes to scratch again
  return value;
}
template <typename T>
__device__ __forceinline__ T block_sum(T value, T* scratch) {
  return block_reduce(value, T{0}, Add{}, scratch);
}

}  // namespace lockstep
