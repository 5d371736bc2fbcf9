// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/softmax_xent/softmax_xent_impl.h"

namespace lockstep::ref {
namespace {

struct Row {
  std::vector<double> probabilities;  // (C)
  double log_sum = 0;                 // log(sum_c exp(logits[c]))
};

// A copy of everything that is needed of a row, so that the outputs may be the same buffer as the logits.
Row softmax_row(const float* logits, int C) {
  Row row{std::vector<double>(logits, logits + C), 0};
  const auto finite = [](double value) { return std::isfinite(value); };
  if (!std::all_of(row.probabilities.begin(), row.probabilities.end(), finite)) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    return {std::vector<double>(static_cast<size_t>(C), nan), nan};
  }
  const double max = *std::max_element(row.probabilities.begin(), row.probabilities.end());
  double sum = 0;
  for (double& value : row.probabilities) sum += value = std::exp(value - max);
  for (double& value : row.probabilities) value /= sum;
  row.log_sum = max + std::log(sum);
  return row;
}

}  // namespace

absl::Status softmax_xent(const KernelContext&, const SoftmaxXentParams& p, const float* logits, const int32_t* labels,
                          float* loss, float* probabilities, float* grad_logits) {
  for (int64_t n = 0; n < p.N; ++n) {
    const double label_logit = logits[n * p.C + labels[n]];
    const Row row = softmax_row(logits + n * p.C, p.C);
    loss[n] = static_cast<float>(row.log_sum - label_logit);
    for (int c = 0; c < p.C; ++c) {
      const double probability = row.probabilities[static_cast<size_t>(c)];
      const double grad = (probability - (c == labels[n] ? 1 : 0)) * p.grad_scale;
      if (probabilities != nullptr) probabilities[n * p.C + c] = static_cast<float>(probability);
      if (grad_logits != nullptr) grad_logits[n * p.C + c] = static_cast<float>(grad);
    }
  }
  return absl::OkStatus();
}

absl::Status softmax(const KernelContext&, int64_t N, int C, const float* logits, float* probabilities) {
  for (int64_t n = 0; n < N; ++n) {
    const Row row = softmax_row(logits + n * C, C);
    for (int c = 0; c < C; ++c) {
      probabilities[n * C + c] = static_cast<float>(row.probabilities[static_cast<size_t>(c)]);
    }
  }
  return absl::OkStatus();
}

}  // namespace lockstep::ref
