// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "kernels/dense/dense_impl.h"
#include "kernels/slice_sum_ref.h"

namespace lockstep::ref {
namespace {

// The gradient behind the ReLU, if there is one.
double masked_grad(const DenseParams& p, const float* y, const float* grad_y, int64_t i) {
  return p.relu && y[i] <= 0 ? 0.0 : grad_y[i];
}

}  // namespace

absl::Status dense_fwd(const KernelContext& ctx, const DenseParams& p, const float* x, const float* w, const float* b,
                       float* y) {
  const int I = p.I, O = p.O;
  for (int64_t n = 0; n < p.N; ++n) {
    count_task(ctx.pool);  // a pass may take minutes: each example is a sign of life
    for (int o = 0; o < O; ++o) {
      double sum = b[o];
      for (int i = 0; i < I; ++i) sum += double{x[n * I + i]} * w[int64_t{i} * O + o];
      y[n * O + o] = static_cast<float>(p.relu && sum < 0 ? 0.0 : sum);
    }
  }
  return absl::OkStatus();
}

absl::Status dense_bwd_data(const KernelContext& ctx, const DenseParams& p, const float* w, const float* y,
                            const float* grad_y, float* grad_x) {
  const int I = p.I, O = p.O;
  for (int64_t n = 0; n < p.N; ++n) {
    count_task(ctx.pool);  // a pass may take minutes: each example is a sign of life
    for (int i = 0; i < I; ++i) {
      double sum = 0;
      for (int o = 0; o < O; ++o) sum += masked_grad(p, y, grad_y, n * O + o) * w[int64_t{i} * O + o];
      grad_x[n * I + i] = static_cast<float>(sum);
    }
  }
  return absl::OkStatus();
}

absl::Status dense_bwd_filter(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices, const float* x,
                              const float* y, const float* grad_y, GradOutput grad_w, GradOutput grad_b) {
  const int I = p.I, O = p.O;
  const int64_t size_w = int64_t{I} * O;
  write_partial_sums(slices, size_w, grad_w, grad_b, [&](int64_t begin, int64_t end) {
    std::vector<double> sum(static_cast<size_t>(size_w + O));
    for (int64_t n = begin; n < end; ++n) {
      count_task(ctx.pool);
      for (int o = 0; o < O; ++o) {
        const double grad = masked_grad(p, y, grad_y, n * O + o);
        sum[static_cast<size_t>(size_w + o)] += grad;
        for (int i = 0; i < I; ++i) sum[static_cast<size_t>(int64_t{i} * O + o)] += x[n * I + i] * grad;
      }
    }
    return std::vector<float>(sum.begin(), sum.end());
  });
  return absl::OkStatus();
}

}  // namespace lockstep::ref
