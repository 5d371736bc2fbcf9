// SPDX-License-Identifier: Apache-2.0
// The sum of slice gradients along the binary tree, for the reference operators.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/grad_slices.h"

namespace lockstep::ref {

// The tree sum over local slices [first, first + count), count a power of two. gradient(begin, end) returns the
// gradient of the examples [begin, end) as floats: rounded per slice and added as floats, because a slice's gradient
// must not depend on which slices share its rank, and whoever finishes the tree elsewhere has only floats.
template <typename Gradient>
std::vector<float> tree_sum(const GradSlices& slices, int first, int count, Gradient&& gradient) {
  if (count == 1) {
    return gradient(slices.offsets[static_cast<size_t>(first)], slices.offsets[static_cast<size_t>(first) + 1]);
  }
  std::vector<float> sum = tree_sum(slices, first, count / 2, gradient);
  const std::vector<float> right = tree_sum(slices, first + count / 2, count / 2, gradient);
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += right[i];
  return sum;
}

// Writes one partial sum per subtree; the gradient's vector holds grad_w's `size_w` floats, then grad_b's.
template <typename Gradient>
void write_partial_sums(const GradSlices& slices, int64_t size_w, GradOutput grad_w, GradOutput grad_b,
                        Gradient&& gradient) {
  for (size_t t = 0; t < slices.subtrees.size(); ++t) {
    const int tree = static_cast<int>(t);
    const std::vector<float> sum = tree_sum(slices, slices.subtree_begin(tree), slices.subtrees[t], gradient);
    float* out_w = grad_w.data + tree * grad_w.stride;
    float* out_b = grad_b.data + tree * grad_b.stride;
    for (size_t i = 0; i < sum.size(); ++i) {
      const auto at = static_cast<int64_t>(i);
      (at < size_w ? out_w[at] : out_b[at - size_w]) = sum[i];
    }
  }
}

}  // namespace lockstep::ref
