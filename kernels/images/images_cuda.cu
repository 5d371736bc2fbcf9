// SPDX-License-Identifier: Apache-2.0
#include "kernels/images/images_impl.h"
#include "kernels/launch.h"
#include "kernels/vec.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ float pixel(uint8_t byte) { return static_cast<float>(byte) * (1.0f / 255); }

// (count) -> (count). Four elements a thread when `vector` (images aligned to 4 bytes, x to 16), so that a warp reads
// 128 bytes and writes 512 at once; else one. Memory bound: 5 bytes an element.
__global__ void scale_images_kernel(const uint8_t* bytes, float* x, int64_t count, bool vector) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (!vector) {
    if (thread < count) x[thread] = pixel(bytes[thread]);
    return;
  }
  const int64_t i = 4 * thread;
  if (i + 4 <= count) {
    const uchar4 p = load4(bytes + i);
    store4(x + i, make_float4(pixel(p.x), pixel(p.y), pixel(p.z), pixel(p.w)));
    return;
  }
  for (int64_t rest = i; rest < count; ++rest) x[rest] = pixel(bytes[rest]);
}

}  // namespace

absl::Status scale_images(const KernelContext& ctx, int64_t count, const uint8_t* bytes, float* x) {
  const bool vector = is_aligned<4>(bytes) && is_aligned<16>(x);
  const int64_t blocks = ceil_div(count, vector ? 4 * kThreads : kThreads);
  const LaunchDims dims{dim3(static_cast<unsigned>(blocks)), dim3(kThreads)};
  return launch(scale_images_kernel, dims, ctx.device->stream, bytes, x, count, vector);
}

}  // namespace lockstep::cuda
