// SPDX-License-Identifier: Apache-2.0
// Sum of partial gradients along the slice tree, block by block; included once per instruction set.
#if defined(LOCKSTEP_KERNELS_TREE_SUM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_KERNELS_TREE_SUM_INL_H_
#undef LOCKSTEP_KERNELS_TREE_SUM_INL_H_
#else
#define LOCKSTEP_KERNELS_TREE_SUM_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "core/base/check.h"
#include "core/base/slice_tree.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

// Floats summed at a time: a block of every level of the tree stays in the first-level cache.
inline constexpr int kSumBlock = 512;
inline constexpr int kMaxTreeDepth = 9;  // pending partial sums: up to 256 slices

HWY_INLINE void add_block(float* HWY_RESTRICT low, const float* HWY_RESTRICT high, int n) {
  const hwy::HWY_NAMESPACE::ScalableTag<float> d;
  namespace hn = hwy::HWY_NAMESPACE;
  const int lanes = static_cast<int>(hn::Lanes(d));
  int i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::Add(hn::LoadU(d, low + i), hn::LoadU(d, high + i)), d, low + i);
  for (; i < n; ++i) low[i] += high[i];
}

// out[0, n) = tree sum of term(i)[0, n), i < count, where term i covers sizes[i] slices and the first starts at slice
// `first`; n <= kSumBlock. `stack` has room for kMaxTreeDepth * kSumBlock floats.
template <typename Term>
HWY_INLINE void tree_sum_block(int first, const int* sizes, int count, int n, const Term& term, float* stack,
                               float* out) {
  int depth = 0;
  walk_slice_tree(
      first, sizes, count,
      [&](int i) {
        LOCKSTEP_CHECK_LT(depth, kMaxTreeDepth);
        std::copy_n(term(i), n, stack + depth++ * kSumBlock);
      },
      [&] {
        add_block(stack + (depth - 2) * kSumBlock, stack + (depth - 1) * kSumBlock, n);
        --depth;
      });
  LOCKSTEP_CHECK_EQ(depth, 1);
  std::copy_n(stack, n, out);
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_KERNELS_TREE_SUM_INL_H_
