// SPDX-License-Identifier: Apache-2.0
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/tree_sum_simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After foreach_target.h:
#include <algorithm>
#include <vector>

#include "kernels/tree_sum-inl.h"
#include "kernels/tree_sum.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

// out[0, n) of one subtree: `count` slices from global slice `first`, n <= kSumBlock.
void sum_block(int first, int count, const float* slices, int64_t slice_stride, int n, float* out) {
  HWY_ALIGN float stack[kMaxTreeDepth * kSumBlock];
  const std::vector<int> sizes(static_cast<size_t>(count), 1);
  tree_sum_block(
      first, sizes.data(), count, n, [&](int i) { return slices + i * slice_stride; }, stack, out);
}

int sum_block_size() { return kSumBlock; }

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(sum_block);
HWY_EXPORT(sum_block_size);

void sum_slices(const KernelContext& ctx, const GradSlices& slices, const SliceTerms& terms, int64_t size,
                const GradOutput& out) {
  const int block = HWY_DYNAMIC_DISPATCH(sum_block_size)();
  const auto sum = HWY_DYNAMIC_DISPATCH(sum_block);
  for (int t = 0; t < static_cast<int>(slices.subtrees.size()); ++t) {
    const int begin = slices.subtree_begin(t), count = slices.subtrees[static_cast<size_t>(t)];
    parallel_for(ctx.pool, (size + block - 1) / block, [&](int64_t i, int) {
      const int64_t at = i * block;
      sum(slices.first_slice + begin, count, terms.data + begin * terms.stride + at, terms.stride,
          static_cast<int>(std::min<int64_t>(block, size - at)), out.data + t * out.stride + at);
    });
  }
}

}  // namespace lockstep
#endif  // HWY_ONCE
