// SPDX-License-Identifier: Apache-2.0
// Floating-point mode of the numeric kernels: numbers below the smallest normal one (1.2e-38) count as zero.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lockstep {

// While it lives, this thread's float arithmetic takes denormal operands for zero and gives zero for denormal results.
// Moments of weights whose gradient has vanished decay into denormals and stay there, and a processor needs some 150
// cycles for each operation on one. TensorFlow computes in the same mode. Where the processor has no such mode:
// nothing.
class FlushDenormals {
 public:
#if defined(__x86_64__)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | kFlushToZero | kDenormalsAreZero); }
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  static constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  const unsigned saved_;

 public:
#else
  FlushDenormals() {}
  ~FlushDenormals() {}
#endif
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;
};

}  // namespace lockstep
