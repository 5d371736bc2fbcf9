// SPDX-License-Identifier: Apache-2.0
// 128-bit loads and stores: a warp that moves 16 bytes a thread needs a quarter of the instructions, and of the
// requests, of one that moves 4. Pointers of the vector functions must be 16-byte (8-byte) aligned.
#pragma once

#include <cstdint>

#include "kernels/launch.h"

namespace lockstep {

template <int Bytes>
__host__ __device__ inline bool is_aligned(const void* p) {
  static_assert(Bytes > 0 && (Bytes & (Bytes - 1)) == 0);
  return (reinterpret_cast<uintptr_t>(p) & (Bytes - 1)) == 0;
}

__device__ __forceinline__ float4 load4(const float* p) { return *reinterpret_cast<const float4*>(p); }
// Through the read-only path: for memory that no thread of this launch writes.
__device__ __forceinline__ float4 load4_readonly(const float* p) { return __ldg(reinterpret_cast<const float4*>(p)); }
__device__ __forceinline__ void store4(float* p, float4 v) { *reinterpret_cast<float4*>(p) = v; }

__device__ __forceinline__ float2 load2(const float* p) { return *reinterpret_cast<const float2*>(p); }
__device__ __forceinline__ void store2(float* p, float2 v) { *reinterpret_cast<float2*>(p) = v; }

__device__ __forceinline__ uint4 load4(const uint32_t* p) { return *reinterpret_cast<const uint4*>(p); }
__device__ __forceinline__ void store4(uint32_t* p, uint4 v) { *reinterpret_cast<uint4*>(p) = v; }

// Four bytes at once, 4-byte aligned: arg-max positions.
__device__ __forceinline__ uchar4 load4(const uint8_t* p) { return *reinterpret_cast<const uchar4*>(p); }
__device__ __forceinline__ void store4(uint8_t* p, uchar4 v) { *reinterpret_cast<uchar4*>(p) = v; }

__host__ __device__ __forceinline__ float4 add(float4 a, float4 b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}
// a * b + c, fused, element by element.
__device__ __forceinline__ float4 fma(float a, float4 b, float4 c) {
  return make_float4(fmaf(a, b.x, c.x), fmaf(a, b.y, c.y), fmaf(a, b.z, c.z), fmaf(a, b.w, c.w));
}

__host__ __device__ constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace lockstep
