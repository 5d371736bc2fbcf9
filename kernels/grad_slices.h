// SPDX-License-Identifier: Apache-2.0
// How the examples of a local batch fall into gradient slices, for operators that sum over examples.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/slice_tree.h"

namespace lockstep {

// Slice i holds the local examples [offsets[i], offsets[i + 1]); a slice may be empty. subtrees are the sizes of the
// maximal aligned subtrees that tile the slices, left to right; first_slice is the global number of the first slice.
// A filter gradient is delivered as one partial sum per subtree: partial[t] is the sum of the gradients of its slices
// along the binary tree. A slice's gradient depends on nothing but its own examples.
struct GradSlices {
  int first_slice = 0;
  std::vector<int64_t> offsets;  // (slices + 1)
  std::vector<int> subtrees;

  int slices() const { return static_cast<int>(offsets.size()) - 1; }
  int64_t examples() const { return offsets.back() - offsets.front(); }
  // First local slice of subtree t.
  int subtree_begin(int t) const {
    int begin = 0;
    for (int i = 0; i < t; ++i) begin += subtrees[static_cast<size_t>(i)];
    return begin;
  }

  // The slices of rank `rank` of `ranks` for a global batch; local example 0 is the first example of the first slice.
  static GradSlices for_rank(int rank, int ranks, int slices, int64_t batch) {
    const SliceRange range = slices_of_rank(rank, ranks, slices);
    GradSlices result;
    result.first_slice = range.first;
    const int64_t origin = slice_begin(range.first, slices, batch);
    for (int s = range.first; s <= range.first + range.count; ++s) {
      result.offsets.push_back(slice_begin(s, slices, batch) - origin);
    }
    result.subtrees = aligned_subtrees(range);
    return result;
  }

  // All examples in one slice.
  static GradSlices single(int64_t examples) { return {0, {0, examples}, {1}}; }
};

// Where filter gradients go: partial[t] of a parameter of `size` floats starts at data + t * stride.
struct GradOutput {
  float* data = nullptr;
  int64_t stride = 0;  // floats between partial sums of neighbouring subtrees; at least the parameter's size
};

}  // namespace lockstep
