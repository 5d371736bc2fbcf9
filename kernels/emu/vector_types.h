// SPDX-License-Identifier: Apache-2.0
// CUDA's keywords and vector types for g++.
#pragma once

#include <cstdint>

// NOLINTBEGIN: the names are CUDA's.
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

#define LOCKSTEP_EMU_VECTOR_TYPES(T, name)                      \
  struct alignas(2 * sizeof(T)) name##2 {                       \
    T x, y;                                                     \
  };                                                            \
  struct alignas(4 * sizeof(T)) name##4 {                       \
    T x, y, z, w;                                               \
  };                                                            \
  constexpr name##2 make_##name##2(T x, T y) { return {x, y}; } \
  constexpr name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
LOCKSTEP_EMU_VECTOR_TYPES(float, float)
LOCKSTEP_EMU_VECTOR_TYPES(int, int)
LOCKSTEP_EMU_VECTOR_TYPES(unsigned, uint)
LOCKSTEP_EMU_VECTOR_TYPES(unsigned char, uchar)
LOCKSTEP_EMU_VECTOR_TYPES(signed char, char)
LOCKSTEP_EMU_VECTOR_TYPES(short, short)
LOCKSTEP_EMU_VECTOR_TYPES(unsigned short, ushort)
#undef LOCKSTEP_EMU_VECTOR_TYPES

struct alignas(16) double2 {
  double x, y;
};
struct alignas(16) longlong2 {
  long long x, y;
};
struct alignas(16) ulonglong2 {
  unsigned long long x, y;
};
constexpr double2 make_double2(double x, double y) { return {x, y}; }
constexpr ulonglong2 make_ulonglong2(unsigned long long x, unsigned long long y) { return {x, y}; }
// NOLINTEND
