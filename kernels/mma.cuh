// SPDX-License-Identifier: Apache-2.0
// Tensor-core products, asynchronous copies into shared memory and the conversions they need (sm_80 and up). Inline PTX
// under nvcc; under the emulator the same names follow the fragment layouts of the PTX manual lane by lane
// (kernels/emu/warp_ops.h). All are for whole warps: every lane calls with the same shape, at the same place.
//
// With lane = threadIdx.x % 32, g = lane / 4 and t = lane % 4, a lane holds
//   m16n8k8 tf32    A (16x8, row): a[0] (g, t)   a[1] (g+8, t)   a[2] (g, t+4)   a[3] (g+8, t+4)
//                   B (8x8, col):  b[0] (k=t, n=g)   b[1] (k=t+4, n=g)
//   m16n8k16 bf16   A (16x16), two to a register, lower column in the lower half:
//                   a[0] (g, 2t..2t+1)   a[1] (g+8, 2t..)   a[2] (g, 2t+8..)   a[3] (g+8, 2t+8..)
//                   B (16x8):  b[0] (k=2t..2t+1, n=g)   b[1] (k=2t+8..2t+9, n=g)
//   both            D (16x8):  d[0] (g, 2t)   d[1] (g, 2t+1)   d[2] (g+8, 2t)   d[3] (g+8, 2t+1)
#pragma once

#include <cstdint>

#include "kernels/launch.h"

#if !defined(__CUDACC__)
#include "kernels/emu/warp_ops.h"
#endif

namespace lockstep {

// The nearest tf32 (10 bits of mantissa; ties away from zero), as the bits of a float.
__device__ __forceinline__ uint32_t to_tf32(float x) {
#if defined(__CUDACC__)
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
#else
  return emu::to_tf32(x);
#endif
}

// The nearest bfloat16 (ties to even) of both, `low` in the lower half.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
#if defined(__CUDACC__)
  uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
#else
  return emu::to_bf16(low) | static_cast<uint32_t>(emu::to_bf16(high)) << 16;
#endif
}
__device__ __forceinline__ float low_bf16(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high_bf16(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

// d += a * b.
__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(__CUDACC__)
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  emu::mma_m16n8k8_tf32(d, a, b);
#endif
}
__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(__CUDACC__)
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  emu::mma_m16n8k16_bf16(d, a, b);
#endif
}

// Copies Bytes (4, 8 or 16) from global to shared memory, both aligned to Bytes, of which only the first
// `source_bytes` are read; the rest becomes zero. 16 bytes go past the L1 cache. The copy is one of the thread's
// current group; it has happened for this thread after the cp_async_wait that covers the group, for others after a
// barrier behind that. Until then neither side may be touched.
template <int Bytes>
__device__ __forceinline__ void cp_async(void* to_shared, const void* from_global, int source_bytes = Bytes) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
#if defined(__CUDACC__)
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(to_shared));
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from_global), "r"(source_bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from_global), "n"(Bytes),
                 "r"(source_bytes)
                 : "memory");
  }
#else
  emu::cp_async(to_shared, from_global, Bytes, source_bytes);
#endif
}
// The same, or Bytes zeros where not `valid`; from_global must then still be a pointer of the array, but is not read.
template <int Bytes>
__device__ __forceinline__ void cp_async_if(bool valid, void* to_shared, const void* from_global) {
  cp_async<Bytes>(to_shared, from_global, valid ? Bytes : 0);
}

// Closes the group of the copies since the last commit; a group may be empty.
__device__ __forceinline__ void cp_async_commit() {
#if defined(__CUDACC__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  emu::cp_async_commit();
#endif
}
// Waits until at most the last Pending committed groups of this thread are under way.
template <int Pending>
__device__ __forceinline__ void cp_async_wait() {
#if defined(__CUDACC__)
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#else
  emu::cp_async_wait(Pending);
#endif
}

// Stores to shared memory, 16-byte (8-byte) aligned, that stay one instruction: nvcc splits those through a pointer to
// uint4 when the value comes out of a condition, and four stores of 4 bytes have bank conflicts where one has none.
__device__ __forceinline__ void store_shared4(uint32_t* to, uint4 v) {
#if defined(__CUDACC__)
  asm volatile("st.shared.v4.b32 [%0], {%1,%2,%3,%4};" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
               : "memory");
#else
  *reinterpret_cast<uint4*>(to) = v;
#endif
}
__device__ __forceinline__ void store_shared2(uint32_t* to, uint2 v) {
#if defined(__CUDACC__)
  asm volatile("st.shared.v2.b32 [%0], {%1,%2};" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))), "r"(v.x),
               "r"(v.y)
               : "memory");
#else
  *reinterpret_cast<uint2*>(to) = v;
#endif
}

// Loads 8x8 matrices of 16-bit elements from shared memory: lanes 8i .. 8i+7 name the 16-byte aligned rows of matrix i.
// Register i of a lane is then elements (g, 2t) and (g, 2t+1) of matrix i; with `trans`, (2t, g) and (2t+1, g).
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
#if defined(__CUDACC__)
  const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from)
               : "memory");
#else
  emu::ldmatrix(r, 4, row, false);
#endif
}
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
#if defined(__CUDACC__)
  const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from)
               : "memory");
#else
  emu::ldmatrix(r, 4, row, true);
#endif
}
__device__ __forceinline__ void ldmatrix_x2(uint32_t (&r)[2], const void* row) {
#if defined(__CUDACC__)
  const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(from)
               : "memory");
#else
  emu::ldmatrix(r, 2, row, false);
#endif
}
__device__ __forceinline__ void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row) {
#if defined(__CUDACC__)
  const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(from)
               : "memory");
#else
  emu::ldmatrix(r, 2, row, true);
#endif
}

}  // namespace lockstep
