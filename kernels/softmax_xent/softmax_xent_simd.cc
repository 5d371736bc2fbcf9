// SPDX-License-Identifier: Apache-2.0
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax_xent/softmax_xent_simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After foreach_target.h:
#include <hwy/contrib/math/math-inl.h>

#include <algorithm>
#include <cmath>

#include "kernels/arguments.h"
#include "kernels/scratch.h"
#include "kernels/softmax_xent/softmax_xent_impl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// out[c] = exp(logits[c] - maximum); returns their sum, added one by one in double so that it does not depend on the
// vector length. `maximum` is set. A row with a NaN or an infinity gives a NaN sum.
HWY_INLINE double exp_row(int C, const float* logits, float* out, float& maximum) {
  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  maximum = logits[0];
  float finite = 0;  // 0, or NaN if any logit is not finite
  for (int c = 0; c < C; ++c) {
    maximum = std::max(maximum, logits[c]);
    finite += logits[c] - logits[c];
  }
  const int padded = (C + lanes - 1) / lanes * lanes;
  float* row = scratch(0, static_cast<size_t>(padded));
  for (int c = 0; c < C; ++c) row[c] = logits[c] - maximum;
  std::fill(row + C, row + padded, 0.0f);
  for (int c = 0; c < padded; c += lanes) hn::StoreU(hn::Exp(d, hn::LoadU(d, row + c)), d, row + c);
  double sum = static_cast<double>(finite);
  for (int c = 0; c < C; ++c) sum += static_cast<double>(row[c]);
  std::copy_n(row, C, out);
  return sum;
}

void softmax_row(int C, const float* logits, float* probabilities) {
  float maximum;
  const double sum = exp_row(C, logits, probabilities, maximum);
  for (int c = 0; c < C; ++c) probabilities[c] = static_cast<float>(static_cast<double>(probabilities[c]) / sum);
}

void softmax_xent_row(const SoftmaxXentParams& p, const float* logits, int32_t label, float* loss, float* probabilities,
                      float* grad) {
  const float own = logits[label];
  float maximum;
  float* row = scratch(1, static_cast<size_t>(p.C));
  const double sum = exp_row(p.C, logits, row, maximum);
  *loss = static_cast<float>(std::log(sum) + (static_cast<double>(maximum) - static_cast<double>(own)));
  for (int c = 0; c < p.C; ++c) row[c] = static_cast<float>(static_cast<double>(row[c]) / sum);
  if (probabilities != nullptr) std::copy_n(row, p.C, probabilities);
  if (grad == nullptr) return;
  for (int c = 0; c < p.C; ++c) grad[c] = (row[c] - (c == label ? 1.0f : 0.0f)) * p.grad_scale;
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::simd {

HWY_EXPORT(softmax_row);
HWY_EXPORT(softmax_xent_row);

absl::Status softmax_xent(const KernelContext& ctx, const SoftmaxXentParams& p, const float* logits,
                          const int32_t* labels, float* loss, float* probabilities, float* grad_logits) {
  parallel_for(ctx.pool, p.N, [&](int64_t n, int) {
    HWY_DYNAMIC_DISPATCH(softmax_xent_row)
    (p, logits + n * p.C, labels[n], loss + n, offset_or_null(probabilities, n * p.C),
     offset_or_null(grad_logits, n * p.C));
  });
  return absl::OkStatus();
}

absl::Status softmax(const KernelContext& ctx, int64_t N, int C, const float* logits, float* probabilities) {
  parallel_for(ctx.pool, N, [&](int64_t n, int) {
    HWY_DYNAMIC_DISPATCH(softmax_row)(C, logits + n * C, probabilities + n * C);
  });
  return absl::OkStatus();
}

}  // namespace lockstep::simd
#endif  // HWY_ONCE
