// SPDX-License-Identifier: Apache-2.0
// The end of a filter gradient: chunks of a slice are added in order, slices along the tree.
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d_tile.h"
#include "kernels/launch.h"
#include "kernels/tree_sum_cuda.cuh"

namespace lockstep::cuda {

constexpr int kGradSumThreads = 256;
constexpr int kGradSumLevels = 9;  // a tree of kMaxSlices and its root

struct GradSumArgs {
  SliceTable slices;
  int first = 0, count = 0;         // slices of the table to add: a subtree
  const float* partials = nullptr;  // of slice 0 of the table, slots * stride floats apart
  int64_t stride = 0;
  int64_t size_w = 0, size_b = 0;  // floats of a slot that belong to w, then to b
  float* grad_w = nullptr;
  float* grad_b = nullptr;
};

// One thread per element. Memory bound: reads each partial once.
__global__ void __launch_bounds__(kGradSumThreads) conv2d_grad_sum_kernel(GradSumArgs a) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kGradSumThreads + threadIdx.x;
  if (i >= a.size_w + a.size_b) return;
  TreeSum<float, kGradSumLevels> tree;
  float sum = 0;
  for (int s = 0; s < a.count; ++s) {
    const int slice = a.first + s;
    const int64_t examples = a.slices.begin[slice + 1] - a.slices.begin[slice];
    const auto chunks = examples == 0 ? 0 : static_cast<int>(chunk_count(examples, a.slices.chunk_target));
    const float* const chunk = a.partials + static_cast<int64_t>(slice) * a.slices.slots * a.stride + i;
    sum = chunks > 0 ? chunk[0] : 0;
#pragma unroll 4
    for (int j = 1; j < chunks; ++j) sum += chunk[j * a.stride];
    tree.push(s, 0, sum);
  }
  if (i < a.size_w) {
    a.grad_w[i] = sum;
  } else {
    a.grad_b[i - a.size_w] = sum;
  }
}

}  // namespace lockstep::cuda
