// SPDX-License-Identifier: Apache-2.0
// Memory bound: 28 bytes a parameter with one gradient term, 4 more for each further term.
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/adam/adam_simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/adam/adam_impl.h"
#include "kernels/tree_sum-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE void adam_vector(D d, const AdamParams& p, float rate, hn::Vec<D> grad, float* m, float* v, float* w) {
  const auto m0 = hn::LoadU(d, m), v0 = hn::LoadU(d, v);
  const auto m1 = hn::MulAdd(hn::Sub(grad, m0), hn::Set(d, 1.0f - p.beta1), m0);
  const auto v1 = hn::MulAdd(hn::Sub(hn::Mul(grad, grad), v0), hn::Set(d, 1.0f - p.beta2), v0);
  const auto step = hn::Div(hn::Mul(m1, hn::Set(d, rate)), hn::Add(hn::Sqrt(v1), hn::Set(d, p.epsilon)));
  hn::StoreU(m1, d, m);
  hn::StoreU(v1, d, v);
  hn::StoreU(hn::Sub(hn::LoadU(d, w), step), d, w);
}

// Elements (48 lines) that are asked for ahead: five or six streams are more than the processor follows by itself
// across pages. May point beyond the range; a prefetch does not fault.
inline constexpr int kAhead = 768;

// grad(d, i): elements i … of the gradient as a vector of type d.
template <typename Grad>
HWY_INLINE void adam_block(const AdamParams& p, float rate, int n, const Grad& grad, float* m, float* v, float* w) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> d1;
  const int lanes = static_cast<int>(hn::Lanes(d));
  int i = 0;
  for (; i + lanes <= n; i += lanes) {
    __builtin_prefetch(m + i + kAhead, 1, 2);
    __builtin_prefetch(v + i + kAhead, 1, 2);
    __builtin_prefetch(w + i + kAhead, 1, 2);
    adam_vector(d, p, rate, grad(d, i), m + i, v + i, w + i);
  }
  for (; i < n; ++i) adam_vector(d1, p, rate, grad(d1, i), m + i, v + i, w + i);
}

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
    return adam_block(p, rate, count, grad, m + begin, v + begin, w + begin);
  }
  if (terms.size() == 2) {
    const float* second = terms[1].data + begin;
    const auto grad = [first, second](auto d, int i) {
      __builtin_prefetch(first + i + kAhead, 0, 2);
      __builtin_prefetch(second + i + kAhead, 0, 2);
      return hn::Add(hn::LoadU(d, first + i), hn::LoadU(d, second + i));
    };
    return adam_block(p, rate, count, grad, m + begin, v + begin, w + begin);
  }
  HWY_ALIGN float stack[kMaxTreeDepth * kSumBlock];
  HWY_ALIGN float grad[kSumBlock];
  for (int64_t at = begin; at < end; at += kSumBlock) {
    const int n = static_cast<int>(std::min<int64_t>(kSumBlock, end - at));
    const auto term = [&](int i) { return terms[static_cast<size_t>(i)].data + at; };
    tree_sum_block(0, sizes, static_cast<int>(terms.size()), n, term, stack, grad);
    adam_block(
        p, rate, n, [&](auto d, int i) { return hn::LoadU(d, grad + i); }, m + at, v + at, w + at);
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
  const float rate = p.learning_rate * std::sqrt(1.0f - p.beta2_power) / (1.0f - p.beta1_power);
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
