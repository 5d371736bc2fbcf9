// SPDX-License-Identifier: Apache-2.0
// What device code may call, for g++: indices, barriers, warp exchange, arithmetic with CUDA's names. Each thread of a
// block is a fiber; barriers and warp exchanges switch to another one. Masks must name every lane that takes part;
// lanes that the block does not have do not count.
#pragma once

#include <math.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/emu/vector_types.h"
#include "kernels/emu/where.h"

// NOLINTBEGIN: the names are CUDA's.
// Of the thread that runs now.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace lockstep::emu {

enum class BlockVote { kNone, kAnd, kOr, kCount };
enum class Shuffle { kIndex, kUp, kDown, kXor };

int block_barrier(BlockVote vote, bool predicate, const char* name, Where where);
void warp_barrier(uint32_t mask, Where where);
uint32_t warp_ballot(uint32_t mask, bool predicate, const char* name, Where where);
uint64_t warp_shuffle(uint32_t mask, uint64_t value, Shuffle kind, int argument, int width, Where where);
// Adds without a race; bounds and alignment are checked. Returns the old value.
uint32_t atomic_add(uint32_t* address, uint32_t value);

void* shared_array(const void* place, const char* name, size_t bytes);
void* dynamic_shared();

template <typename T>
T shuffle(uint32_t mask, T value, Shuffle kind, int argument, int width, Where where) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = warp_shuffle(mask, bits, kind, argument, width, where);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace lockstep::emu

#define LOCKSTEP_EMU_WHERE lockstep::emu::Where where = lockstep::emu::Where::current()

inline void __syncthreads(LOCKSTEP_EMU_WHERE) {
  lockstep::emu::block_barrier(lockstep::emu::BlockVote::kNone, false, "__syncthreads", where);
}
inline int __syncthreads_and(int p, LOCKSTEP_EMU_WHERE) {
  return lockstep::emu::block_barrier(lockstep::emu::BlockVote::kAnd, p != 0, "__syncthreads_and", where);
}
inline int __syncthreads_or(int p, LOCKSTEP_EMU_WHERE) {
  return lockstep::emu::block_barrier(lockstep::emu::BlockVote::kOr, p != 0, "__syncthreads_or", where);
}
inline int __syncthreads_count(int p, LOCKSTEP_EMU_WHERE) {
  return lockstep::emu::block_barrier(lockstep::emu::BlockVote::kCount, p != 0, "__syncthreads_count", where);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, LOCKSTEP_EMU_WHERE) { lockstep::emu::warp_barrier(mask, where); }

template <typename T>
T __shfl_sync(unsigned mask, T v, int lane, int width = 32, LOCKSTEP_EMU_WHERE) {
  return lockstep::emu::shuffle(mask, v, lockstep::emu::Shuffle::kIndex, lane, width, where);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T v, unsigned delta, int width = 32, LOCKSTEP_EMU_WHERE) {
  return lockstep::emu::shuffle(mask, v, lockstep::emu::Shuffle::kUp, static_cast<int>(delta), width, where);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T v, unsigned delta, int width = 32, LOCKSTEP_EMU_WHERE) {
  return lockstep::emu::shuffle(mask, v, lockstep::emu::Shuffle::kDown, static_cast<int>(delta), width, where);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T v, int lane_mask, int width = 32, LOCKSTEP_EMU_WHERE) {
  return lockstep::emu::shuffle(mask, v, lockstep::emu::Shuffle::kXor, lane_mask, width, where);
}
inline unsigned __ballot_sync(unsigned mask, int p, LOCKSTEP_EMU_WHERE) {
  return lockstep::emu::warp_ballot(mask, p != 0, "__ballot_sync", where);
}
inline int __any_sync(unsigned mask, int p, LOCKSTEP_EMU_WHERE) {
  return lockstep::emu::warp_ballot(mask, p != 0, "__any_sync", where) != 0;
}
inline int __all_sync(unsigned mask, int p, LOCKSTEP_EMU_WHERE) {
  return lockstep::emu::warp_ballot(mask, p == 0, "__all_sync", where) == 0;
}
inline void __threadfence() {}
inline void __threadfence_block() {}
inline unsigned atomicAdd(unsigned* p, unsigned v) { return lockstep::emu::atomic_add(p, v); }
inline int atomicAdd(int* p, int v) {
  return static_cast<int>(lockstep::emu::atomic_add(reinterpret_cast<uint32_t*>(p), static_cast<uint32_t>(v)));
}
#undef LOCKSTEP_EMU_WHERE

template <typename T>
T __ldg(const T* p) {
  return *p;
}
template <typename T>
T __ldcs(const T* p) {
  return *p;
}
template <typename T>
T __ldcg(const T* p) {
  return *p;
}
template <typename T>
void __stcs(T* p, T v) {
  *p = v;
}
template <typename T>
void __stcg(T* p, T v) {
  *p = v;
}

#define LOCKSTEP_EMU_MIN_MAX(T)                       \
  constexpr T min(T a, T b) { return b < a ? b : a; } \
  constexpr T max(T a, T b) { return a < b ? b : a; }
LOCKSTEP_EMU_MIN_MAX(int)
LOCKSTEP_EMU_MIN_MAX(unsigned)
LOCKSTEP_EMU_MIN_MAX(long)
LOCKSTEP_EMU_MIN_MAX(unsigned long)
LOCKSTEP_EMU_MIN_MAX(long long)
LOCKSTEP_EMU_MIN_MAX(unsigned long long)
#undef LOCKSTEP_EMU_MIN_MAX
// As CUDA's: the other operand where one is NaN.
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fdividef(float a, float b) { return a / b; }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __saturatef(float x) { return fminf(fmaxf(x, 0.0f), 1.0f); }
inline int __float2int_rn(float x) { return static_cast<int>(nearbyintf(x)); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>((uint64_t{a} * b) >> 32); }
inline int __mulhi(int a, int b) { return static_cast<int>((int64_t{a} * b) >> 32); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
// NOLINTEND
