// SPDX-License-Identifier: Apache-2.0
// The fixed summation tree of lockstep arithmetic.
//
// The global batch of B examples is cut into S slices (S a power of two): slice s holds examples
// [s * B / S, (s + 1) * B / S). The gradient is the sum of the S slice gradients along the complete binary tree over
// adjacent slices: ((0+1)+(2+3))+((4+5)+(6+7)) for S = 8. Rank r of N owns slices [r * S / N, (r + 1) * S / N) and sums
// the maximal aligned subtrees inside that range; whoever finishes the tree adds those partial sums in the same order,
// so the result does not depend on N. Pure arithmetic, no state.
#pragma once

#include <cstdint>
#include <vector>

namespace lockstep {

struct SliceRange {
  int first = 0;
  int count = 0;
};

// The slices of rank `rank` of `ranks`. Requires 1 <= ranks <= slices.
inline SliceRange slices_of_rank(int rank, int ranks, int slices) {
  const int begin = static_cast<int>(int64_t{rank} * slices / ranks);
  const int end = static_cast<int>(int64_t{rank + 1} * slices / ranks);
  return {begin, end - begin};
}

// First example of slice `slice` in a global batch of `batch` examples; slice == slices gives `batch`.
inline int64_t slice_begin(int slice, int slices, int64_t batch) { return slice * batch / slices; }

// Sizes (numbers of slices, each a power of two) of the maximal aligned subtrees that tile [first, first + count), left
// to right. (3, 3) gives {1, 2}: slice 3, then slices 4 and 5.
inline std::vector<int> aligned_subtrees(SliceRange range) {
  std::vector<int> sizes;
  int at = range.first;
  const int end = range.first + range.count;
  while (at < end) {
    int size = 1;
    while (at % (2 * size) == 0 && at + 2 * size <= end) size *= 2;
    sizes.push_back(size);
    at += size;
  }
  return sizes;
}

// Walks a list of adjacent aligned terms, left to right, and says how to add them along the tree with a stack:
// push each term; after pushing the term that ends at slice `end`, while the two topmost entries are siblings (equal
// sizes whose union is aligned) replace them by their sum (lower + upper). `first` is the first slice of the list.
// `on_push(term)` and `on_merge()` do the work; on_merge combines the two topmost entries.
template <typename Push, typename Merge>
void walk_slice_tree(int first, const int* sizes, int count, Push&& on_push, Merge&& on_merge) {
  int stack_size[64];
  int stack_first[64];
  int depth = 0;
  for (int i = 0, at = first; i < count; at += sizes[i], ++i) {
    on_push(i);
    stack_first[depth] = at;
    stack_size[depth] = sizes[i];
    ++depth;
    while (depth >= 2 && stack_size[depth - 2] == stack_size[depth - 1] &&
           stack_first[depth - 2] % (2 * stack_size[depth - 2]) == 0) {
      on_merge();
      stack_size[depth - 2] *= 2;
      --depth;
    }
  }
}

}  // namespace lockstep
