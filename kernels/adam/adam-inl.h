// SPDX-License-Identifier: Apache-2.0
// Adam on vectors, for kernels that have a gradient in registers or in the cache; included once per instruction set.
#if defined(LOCKSTEP_KERNELS_ADAM_ADAM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_KERNELS_ADAM_ADAM_INL_H_
#undef LOCKSTEP_KERNELS_ADAM_ADAM_INL_H_
#else
#define LOCKSTEP_KERNELS_ADAM_ADAM_INL_H_
#endif

#include <hwy/highway.h>

#include "kernels/adam/adam.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// `rate` is adam_rate(p).
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

// `n` elements. grad(d, i): elements i … of the gradient as a vector of type d. Asks for the three arrays `ahead`
// elements further on, which may lie beyond their end: a prefetch does not fault.
template <typename Grad>
HWY_INLINE void adam_block(const AdamParams& p, float rate, int n, int ahead, const Grad& grad, float* m, float* v,
                           float* w) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> d1;
  const int lanes = static_cast<int>(hn::Lanes(d));
  int i = 0;
  for (; i + lanes <= n; i += lanes) {
    __builtin_prefetch(m + i + ahead, 1, 2);
    __builtin_prefetch(v + i + ahead, 1, 2);
    __builtin_prefetch(w + i + ahead, 1, 2);
    adam_vector(d, p, rate, grad(d, i), m + i, v + i, w + i);
  }
  for (; i < n; ++i) adam_vector(d1, p, rate, grad(d1, i), m + i, v + i, w + i);
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_KERNELS_ADAM_ADAM_INL_H_
