// SPDX-License-Identifier: Apache-2.0
#include "kernels/tree_sum_cuda.h"

#include <algorithm>

#include "kernels/launch.h"
#include "kernels/tree_sum_cuda.cuh"
#include "kernels/vec.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLevels = 8;  // 256 slices

// out[i] = tree sum over s < slices of in[s * stride + i], for i < size. One thread per element, or per four of them
// when `vector` (all addresses and the stride multiples of 16 bytes). Memory bound: reads each term once.
template <typename T>
__device__ __forceinline__ T sum_terms(const float* in, int64_t stride, int slices) {
  TreeSum<T, kLevels> tree;
  T sum{};
  for (int s = 0; s < slices; ++s) {
    sum = *reinterpret_cast<const T*>(in + s * stride);
    tree.push(s, 0, sum);
  }
  return sum;
}

__global__ void tree_sum_kernel(const float* in, int64_t stride, int slices, int64_t size, float* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < size) out[i] = sum_terms<float>(in + i, stride, slices);
}

__global__ void tree_sum_vector_kernel(const float* in, int64_t stride, int slices, int64_t size, float* out) {
  const int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x);
  if (i + 4 <= size) {
    store4(out + i, sum_terms<Float4Sum>(in + i, stride, slices).v);
    return;
  }
  for (int64_t rest = i; rest < size; ++rest) out[rest] = sum_terms<float>(in + rest, stride, slices);
}

}  // namespace

absl::Status sum_slices(const KernelContext& ctx, const GradSlices& slices, const SlicePartials& partials, int64_t size,
                        const GradOutput& out) {
  if (size == 0) return absl::OkStatus();
  int begin = 0;
  for (size_t t = 0; t < slices.subtrees.size(); begin += slices.subtrees[t++]) {
    const float* const in = partials.data + begin * partials.stride;
    float* const to = out.data + static_cast<int64_t>(t) * out.stride;
    const bool vector = is_aligned<16>(in) && is_aligned<16>(to) && partials.stride % 4 == 0;
    const int64_t blocks = ceil_div(size, vector ? 4 * kThreads : kThreads);
    const LaunchDims dims{dim3(static_cast<unsigned>(blocks)), dim3(kThreads)};
    LOCKSTEP_RETURN_IF_ERROR(launch(vector ? tree_sum_vector_kernel : tree_sum_kernel, dims, ctx.device->stream, in,
                                    partials.stride, slices.subtrees[t], size, to));
  }
  return absl::OkStatus();
}

}  // namespace lockstep::cuda
