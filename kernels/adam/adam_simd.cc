// SPDX-License-Identifier: Apache-2.0
// Memory bound: 28 bytes a parameter with one gradient term, 4 more for each further term.
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/adam/adam_simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <vector>

#include "kernels/adam/adam-inl.h"
#include "kernels/adam/adam_impl.h"
#include "kernels/tree_sum-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Elements (48 lines) that are asked for ahead: five or six streams are more than the processor follows by itself
// across pages.
inline constexpr int kAhead = 768;

// Elements [begin, end) of the range.
void adam_range(const AdamParams& p, float rate, std::span<const GradTerm> terms, const int* sizes, int64_t begin,
                int64_t end, float* m, float* v, float* w) {
  // One term is the gradient, two are the halves of the tree: no detour through memory for one or two ranks.
  const int count = static_cast<int>(end - begin);
  const float* first = terms[0].data + begin;
  if (terms.size() == 1) {
    const auto grad = [first](auto d, int i) {
      __builtin_prefetch(first + i + kAhead, 0, 2);
      return hn::LoadU(d, first + i);
    };
    return adam_block(p, rate, count, kAhead, grad, m + begin, v + begin, w + begin);
  }
  if (terms.size() == 2) {
    const float* second = terms[1].data + begin;
    const auto grad = [first, second](auto d, int i) {
      __builtin_prefetch(first + i + kAhead, 0, 2);
      __builtin_prefetch(second + i + kAhead, 0, 2);
      return hn::Add(hn::LoadU(d, first + i), hn::LoadU(d, second + i));
    };
    return adam_block(p, rate, count, kAhead, grad, m + begin, v + begin, w + begin);
  }
  HWY_ALIGN float stack[kMaxTreeDepth * kSumBlock];
  HWY_ALIGN float grad[kSumBlock];
  for (int64_t at = begin; at < end; at += kSumBlock) {
    const int n = static_cast<int>(std::min<int64_t>(kSumBlock, end - at));
    const auto term = [&](int i) { return terms[static_cast<size_t>(i)].data + at; };
    tree_sum_block(0, sizes, static_cast<int>(terms.size()), n, term, stack, grad);
    adam_block(
        p, rate, n, kAhead, [&](auto d, int i) { return hn::LoadU(d, grad + i); }, m + at, v + at, w + at);
  }
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::simd {

HWY_EXPORT(adam_range);

absl::Status adam_update(const KernelContext& ctx, const AdamParams& p, int64_t count, std::span<const GradTerm> terms,
                         float* m, float* v, float* w) {
  constexpr int64_t kTask = 1 << 14;  // elements: 64 KB of each buffer
  const float rate = adam_rate(p);
  std::vector<int> sizes;
  for (const GradTerm& term : terms) sizes.push_back(term.slices);
  parallel_for(ctx.pool, (count + kTask - 1) / kTask, [&](int64_t i, int) {
    HWY_DYNAMIC_DISPATCH(adam_range)
    (p, rate, terms, sizes.data(), i * kTask, std::min(count, (i + 1) * kTask), m, v, w);
  });
  return absl::OkStatus();
}

}  // namespace lockstep::simd
#endif  // HWY_ONCE
