// SPDX-License-Identifier: Apache-2.0
// Filters in the order in which the patch convolution reads them, padded with zeros: one slab per block of filters,
// chunk of channels and tap, which is copied to shared memory as it is.
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d_math.cuh"
#include "kernels/launch.h"

namespace lockstep::cuda {

// Where a filter of (tap, input channel, output channel) lies in w (R, S, C, K). For the gradient with respect to x the
// taps run backwards and input and output are exchanged.
struct FilterView {
  const float* w = nullptr;
  int taps = 0, inputs = 0, outputs = 0;
  int64_t input_stride = 0, output_stride = 0;
  bool backwards = false;

  __device__ float at(int tap, int input, int output) const {
    if (input >= inputs || output >= outputs) return 0;
    const int64_t t = backwards ? taps - 1 - tap : tap;
    return w[t * inputs * outputs + input * input_stride + output * output_stride];
  }
};

// Which word (of the chunk) and filter (of the block) is at `index` of a slab.
struct SlabEntry {
  int word = 0, filter = 0;
};
// Float: one row of filters per channel.
__device__ __forceinline__ SlabEntry slab_entry(FloatMath, int index, int block_k) {
  return {index / block_k, index % block_k};
}
// Tensor cores: [16 words][step j][16 filters][lane][column tile e][register b]; see TensorSums.
template <class Math>
__device__ __forceinline__ SlabEntry slab_entry(Math, int index, int block_k) {
  const int b = index % 2, e = index / 2 % 2, lane = index / 4 % 32, rest = index / 128;
  const int groups = block_k / 16, group = rest % groups, j = rest / groups % 2, words = rest / groups / 2 * 16;
  const int g = lane / 4, t = lane % 4;
  return {words + 4 * t + 2 * j + b, 16 * group + 4 * (g / 2) + 2 * e + g % 2};
}

// One thread per word. Runs over a few hundred kilobytes at most of layers that fit the cache.
template <class Math>
__global__ void conv2d_pack_kernel(FilterView filters, int chunk_words, int chunks, int block_k, int64_t count,
                                   uint32_t* packed) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int slab_words = chunk_words * block_k;
  const int64_t slab = i / slab_words;
  const SlabEntry entry = slab_entry(Math{}, static_cast<int>(i - slab * slab_words), block_k);
  const auto tap = static_cast<int>(slab % filters.taps);
  const auto chunk = static_cast<int>(slab / filters.taps % chunks);
  const auto output = static_cast<int>(slab / filters.taps / chunks) * block_k + entry.filter;
  const int input = (chunk * chunk_words + entry.word) * Math::kWordChannels;
  const float next = Math::kWordChannels == 2 ? filters.at(tap, input + 1, output) : 0;
  packed[i] = Math::word(filters.at(tap, input, output), next);
}

}  // namespace lockstep::cuda
