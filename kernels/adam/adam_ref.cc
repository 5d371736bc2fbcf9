// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels/adam/adam_impl.h"

namespace lockstep::ref {
namespace {

// The sum of element i over the subtree of `slices` slices, of which terms[at] holds the first; `at` moves behind it.
// In float: N terms of N ranks must give the same bits as their sum made elsewhere.
float tree_sum(std::span<const GradTerm> terms, size_t& at, int slices, int64_t i) {
  if (terms[at].slices == slices) return terms[at++].data[i];
  const float left = tree_sum(terms, at, slices / 2, i);
  return left + tree_sum(terms, at, slices / 2, i);
}

}  // namespace

absl::Status adam_update(const KernelContext&, const AdamParams& p, int64_t count, std::span<const GradTerm> terms,
                         float* m, float* v, float* w) {
  const double rate = p.learning_rate * std::sqrt(1 - double{p.beta2_power}) / (1 - double{p.beta1_power});
  int slices = 0;
  for (const GradTerm& term : terms) slices += term.slices;
  for (int64_t i = 0; i < count; ++i) {
    size_t first = 0;
    const double grad = tree_sum(terms, first, slices, i);
    const double new_m = m[i] + (grad - m[i]) * (1 - double{p.beta1});
    const double new_v = v[i] + (grad * grad - v[i]) * (1 - double{p.beta2});
    m[i] = static_cast<float>(new_m);
    v[i] = static_cast<float>(new_v);
    w[i] = static_cast<float>(w[i] - rate * new_m / (std::sqrt(new_v) + p.epsilon));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::ref
