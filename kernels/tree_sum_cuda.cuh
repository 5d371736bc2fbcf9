// SPDX-License-Identifier: Apache-2.0
// Sums along the slice tree inside a thread of a GPU: the twin of walk_slice_tree, core/base/slice_tree.h.
#pragma once

#include <cstdint>

#include "kernels/launch.h"
#include "kernels/vec.cuh"

namespace lockstep::cuda {

// Adds values of a tree of up to 2^kLevels slices left to right: a binary counter, whose bit `level` says that the
// sum of a left sibling of 2^level slices is waiting. Every index is known at compile time, so that `waiting` stays in
// registers. T needs +=.
template <typename T, int kLevels>
struct TreeSum {
  T waiting[kLevels > 0 ? kLevels : 1];

  // `value` is the sum of 2^level slices, the first of them slice `at` of the tree; it becomes the sum of the largest
  // subtree that ends with it. After the last slice that is the whole tree.
  __device__ __forceinline__ void push(int at, int level, T& value) { push_from<0>(at, level, value); }

 private:
  template <int kLevel>
  __device__ __forceinline__ void push_from(int at, int level, T& value) {
    if constexpr (kLevel < kLevels) {
      if (kLevel < level) {
        push_from<kLevel + 1>(at, level, value);
      } else if (((at >> kLevel) & 1) == 0) {
        waiting[kLevel] = value;
      } else {
        waiting[kLevel] += value;
        value = waiting[kLevel];
        push_from<kLevel + 1>(at, level, value);
      }
    }
  }
};

// Four neighbouring elements as one T of a TreeSum.
struct Float4Sum {
  float4 v;
  __device__ __forceinline__ Float4Sum& operator+=(const Float4Sum& other) {
    v = add(v, other.v);
    return *this;
  }
};

inline int log2_of(int power_of_two) {
  int level = 0;
  while ((1 << level) < power_of_two) ++level;
  return level;
}

}  // namespace lockstep::cuda
