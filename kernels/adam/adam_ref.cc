// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels/adam/adam_impl.h"

namespace lockstep::ref {

absl::Status adam_update(const KernelContext&, const AdamParams& p, int64_t count, std::span<const GradTerm> terms,
                         float* m, float* v, float* w) {
  const double rate = p.learning_rate * std::sqrt(1 - double{p.beta2_power}) / (1 - double{p.beta1_power});
  for (int64_t i = 0; i < count; ++i) {
    double grad = 0;
    for (const GradTerm& term : terms) grad += term.data[i];
    const double new_m = m[i] + (grad - m[i]) * (1 - double{p.beta1});
    const double new_v = v[i] + (grad * grad - v[i]) * (1 - double{p.beta2});
    m[i] = static_cast<float>(new_m);
    v[i] = static_cast<float>(new_v);
    w[i] = static_cast<float>(w[i] - rate * new_m / (std::sqrt(new_v) + p.epsilon));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::ref
