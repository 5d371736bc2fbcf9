// SPDX-License-Identifier: Apache-2.0
// Stand-ins for the SIMD versions that are not written yet: each forwards to the reference.
#include "kernels/adam/adam_impl.h"
#include "kernels/conv2d/conv2d_impl.h"
#include "kernels/dense/dense_impl.h"
#include "kernels/dropout/dropout_impl.h"
#include "kernels/pool2d/pool2d_impl.h"
#include "kernels/softmax_xent/softmax_xent_impl.h"

namespace lockstep::simd {

absl::Status pool2d_max_fwd(const KernelContext& ctx, const Pool2dParams& p, const float* x, float* y,
                            uint8_t* argmax) {
  return ref::pool2d_max_fwd(ctx, p, x, y, argmax);
}
absl::Status pool2d_max_bwd(const KernelContext& ctx, const Pool2dParams& p, const uint8_t* argmax, const float* grad_y,
                            float* grad_x) {
  return ref::pool2d_max_bwd(ctx, p, argmax, grad_y, grad_x);
}

absl::Status dense_fwd(const KernelContext& ctx, const DenseParams& p, const float* x, const float* w, const float* b,
                       float* y) {
  return ref::dense_fwd(ctx, p, x, w, b, y);
}
absl::Status dense_bwd_data(const KernelContext& ctx, const DenseParams& p, const float* w, const float* y,
                            const float* grad_y, float* grad_x) {
  return ref::dense_bwd_data(ctx, p, w, y, grad_y, grad_x);
}
absl::Status dense_bwd_filter(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices, const float* x,
                              const float* y, const float* grad_y, GradOutput grad_w, GradOutput grad_b) {
  return ref::dense_bwd_filter(ctx, p, slices, x, y, grad_y, grad_w, grad_b);
}

absl::Status conv2d_fwd(const KernelContext& ctx, const Conv2dParams& p, const float* x, const float* w, const float* b,
                        float* y) {
  return ref::conv2d_fwd(ctx, p, x, w, b, y);
}
absl::Status conv2d_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const float* w, const float* y,
                             const float* grad_y, float* grad_x) {
  return ref::conv2d_bwd_data(ctx, p, w, y, grad_y, grad_x);
}
absl::Status conv2d_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const GradSlices& slices,
                               const float* x, const float* y, const float* grad_y, GradOutput grad_w,
                               GradOutput grad_b) {
  return ref::conv2d_bwd_filter(ctx, p, slices, x, y, grad_y, grad_w, grad_b);
}
absl::Status conv2d_pool_fwd(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool, const float* x,
                             const float* w, const float* b, float* y, uint8_t* argmax) {
  return ref::conv2d_pool_fwd(ctx, p, pool, x, w, b, y, argmax);
}
absl::Status conv2d_pool_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                  const float* w, const float* y, const uint8_t* argmax, const float* grad_y,
                                  float* grad_x) {
  return ref::conv2d_pool_bwd_data(ctx, p, pool, w, y, argmax, grad_y, grad_x);
}
absl::Status conv2d_pool_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                    const GradSlices& slices, const float* x, const float* y, const uint8_t* argmax,
                                    const float* grad_y, GradOutput grad_w, GradOutput grad_b) {
  return ref::conv2d_pool_bwd_filter(ctx, p, pool, slices, x, y, argmax, grad_y, grad_w, grad_b);
}

absl::Status dropout_fwd(const KernelContext& ctx, const DropoutParams& p, const float* x, float* y) {
  return ref::dropout_fwd(ctx, p, x, y);
}
absl::Status dropout_bwd(const KernelContext& ctx, const DropoutParams& p, const float* grad_y, float* grad_x) {
  return ref::dropout_bwd(ctx, p, grad_y, grad_x);
}

absl::Status softmax_xent(const KernelContext& ctx, const SoftmaxXentParams& p, const float* logits,
                          const int32_t* labels, float* loss, float* probabilities, float* grad_logits) {
  return ref::softmax_xent(ctx, p, logits, labels, loss, probabilities, grad_logits);
}
absl::Status softmax(const KernelContext& ctx, int64_t N, int C, const float* logits, float* probabilities) {
  return ref::softmax(ctx, N, C, logits, probabilities);
}

absl::Status adam_update(const KernelContext& ctx, const AdamParams& p, int64_t count, std::span<const GradTerm> terms,
                         float* m, float* v, float* w) {
  return ref::adam_update(ctx, p, count, terms, m, v, w);
}

}  // namespace lockstep::simd
