// SPDX-License-Identifier: Apache-2.0
// Register tiles of the dense weight gradient; included once per instruction set.
#if defined(LOCKSTEP_KERNELS_DENSE_DENSE_GRAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_KERNELS_DENSE_DENSE_GRAD_INL_H_
#undef LOCKSTEP_KERNELS_DENSE_DENSE_GRAD_INL_H_
#else
#define LOCKSTEP_KERNELS_DENSE_DENSE_GRAD_INL_H_
#endif

#include <algorithm>

#include "kernels/gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

// Floats behind packed inputs that pack_inputs may write.
inline constexpr int kPackSlack = round_up(kMaxRows, kLanes);

// The weight gradient of `rows` inputs for one panel of outputs and one subtree of `count` slices (a power of two),
// slice s with the examples [offsets[s], offsets[s + 1]): each slice is summed in registers, finished siblings are
// added while the tile is there. a: inputs, (examples, rows); grad: (examples, ld_grad), whole vectors of outputs.
using GradTile = void (*)(const int64_t* offsets, int count, const float* a, const float* grad, ptrdiff_t ld_grad,
                          float* out, ptrdiff_t ld_out);

// For rows <= kMaxRows and vectors <= kMaxVectors. Defined in dense_simd.cc, once for all who need it.
GradTile grad_tile_for(int rows, int vectors);

// to (N, rows) = columns [i, i + rows) of x (N, I); rows <= kMaxRows. Copies whole vectors where x has that many
// floats left: what is too much is overwritten by the next example, or ends up in the slack.
HWY_INLINE void pack_inputs(const float* x, int64_t N, int I, int i, int rows, float* to) {
  const Floats d;
  const int width = round_up(rows, kLanes);
  const float* const end = x + N * I;
  x += i;
  for (int64_t n = 0; n < N; ++n, x += I, to += rows) {
    if (end - x < width) {
      std::copy_n(x, rows, to);
      continue;
    }
    for (int c = 0; c < width; c += kLanes) hn::StoreU(hn::LoadU(d, x + c), d, to + c);
  }
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_KERNELS_DENSE_DENSE_GRAD_INL_H_
