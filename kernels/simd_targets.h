// SPDX-License-Identifier: Apache-2.0
// Which instruction sets the SIMD kernels are compiled for. Include before any Highway header.
//
// Disabled by Highway's bit numbers (names differ between its versions): refinements of AVX-512 (AVX3_SPR, AVX3_ZEN4,
// AVX3_DL) and SSSE3, which give these kernels nothing over AVX3 and SSE4 but compile time, and Arm's scalable sets,
// whose vectors cannot be kept in arrays of registers.
#pragma once

#include <hwy/detect_compiler_arch.h>

#if HWY_ARCH_X86
#ifdef LOCKSTEP_SANITIZED
// Instrumented register tiles take the compiler minutes: they see AVX2 and the scalar set; the release tests see all.
#define HWY_DISABLED_TARGETS \
  ((1LL << 4) | (1LL << 5) | (1LL << 6) | (1LL << 7) | (1LL << 8) | (1LL << 11) | (1LL << 12))
#else
#define HWY_DISABLED_TARGETS ((1LL << 4) | (1LL << 5) | (1LL << 6) | (1LL << 7) | (1LL << 12))
#endif
#elif HWY_ARCH_ARM
#define HWY_DISABLED_TARGETS ((1LL << 24) | (1LL << 25) | (1LL << 26) | (1LL << 27))
#endif
