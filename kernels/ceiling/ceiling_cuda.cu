// SPDX-License-Identifier: Apache-2.0
#include "kernels/ceiling/ceiling.h"
#include "kernels/launch.h"
#include "kernels/mma.cuh"
#include "kernels/vec.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = CeilingWork::kThreads, kChains = CeilingWork::kChains, kFragment = CeilingWork::kFragment;

__device__ __forceinline__ int64_t thread_index() { return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; }

// x = x * factor + term, with 1 and 1, which the compiler does not know. 16 chains cover the latency of an instruction
// many times over, and there are eight warps a block besides.
__global__ void fma_ceiling_kernel(int rounds, float factor, float term, float* to) {
  // All start at 0, which the compiler does not know either: it makes one chain of several that are equal, and lets
  // sm_120's scalar unit do what is the same in every lane.
  float chain[kChains];
#pragma unroll
  for (int i = 0; i < kChains; ++i) chain[i] = static_cast<float>(threadIdx.x + i) * (factor - 1);
#pragma unroll 4
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < kChains; ++i) chain[i] = fmaf(chain[i], factor, term);
  }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kChains; ++i) sum += chain[i];
  to[thread_index()] = sum;
}

template <bool kBf16>
__global__ void mma_ceiling_kernel(int rounds, float factor, float* to) {
  const uint32_t one = kBf16 ? pack_bf16(factor, factor) : to_tf32(factor);
  const uint32_t a[4] = {one, one, one, one}, b[2] = {one, one};
  float chain[kChains][kFragment] = {};
#pragma unroll 2
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < kChains; ++i) {
      if constexpr (kBf16) {
        mma_m16n8k16_bf16(chain[i], a, b);
      } else {
        mma_m16n8k8_tf32(chain[i], a, b);
      }
    }
  }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kChains; ++i) {
#pragma unroll
    for (int j = 0; j < kFragment; ++j) sum += chain[i][j];
  }
  to[thread_index()] = sum;
}

// Neighbouring threads move neighbouring 16 bytes, in each round a stretch as long as the grid.
__global__ void copy_ceiling_kernel(int rounds, const float* from, float* to) {
  const int64_t stretch = 4 * static_cast<int64_t>(gridDim.x) * kThreads;
  int64_t at = 4 * thread_index();
#pragma unroll 4
  for (int round = 0; round < rounds; ++round, at += stretch) store4(to + at, load4_readonly(from + at));
}

}  // namespace

absl::Status run_ceiling(const DeviceContext& device, const CeilingWork& work, const float* from, float* to) {
  const LaunchDims dims{dim3(static_cast<unsigned>(work.blocks)), dim3(kThreads)};
  switch (work.kind) {
    case CeilingKind::kFma:
      return launch(fma_ceiling_kernel, dims, device.stream, work.rounds, 1.0f, 1.0f, to);
    case CeilingKind::kTf32:
      return launch(mma_ceiling_kernel<false>, dims, device.stream, work.rounds, 1.0f, to);
    case CeilingKind::kBf16:
      return launch(mma_ceiling_kernel<true>, dims, device.stream, work.rounds, 1.0f, to);
    case CeilingKind::kCopy:
      break;
  }
  return launch(copy_ceiling_kernel, dims, device.stream, work.rounds, from, to);
}

}  // namespace lockstep::cuda
