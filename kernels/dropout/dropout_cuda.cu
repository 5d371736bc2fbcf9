// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/base/rng.h"
#include "kernels/dropout/dropout_impl.h"
#include "kernels/launch.h"
#include "kernels/vec.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 256;

struct DropoutArgs {
  int64_t N, units;
  float rate, scale;
  uint64_t seed, step;
  uint32_t layer, first_example;
  bool vector;  // units a multiple of 4 and both pointers aligned to 16 bytes
};

__device__ __forceinline__ float drop(uint32_t bits, const DropoutArgs& p, float x) {
  return RngStream::to_uniform(bits) < p.rate ? 0.0f : x * p.scale;
}

// x, y (N, units). A thread makes the four numbers of one Philox counter and applies them to four neighbouring units of
// one example; threadIdx.x walks along the units, threadIdx.y and blockIdx.y over examples. Reads and writes each
// element once and computes some 15 integer instructions for it: memory bound. `scalars` may be null.
__global__ void dropout_kernel(const float* x, float* y, DropoutArgs p, const StepScalars* scalars) {
  const int64_t unit = 4 * (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x);
  if (unit >= p.units) return;
  const uint64_t step = scalars != nullptr ? scalars->step : p.step;
  const uint32_t quad = (p.layer << 22) + static_cast<uint32_t>(unit / 4);
  const int64_t examples_apart = static_cast<int64_t>(gridDim.y) * blockDim.y;
  for (int64_t n = static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y; n < p.N; n += examples_apart) {
    const RngStream stream(p.seed, RngPurpose::kDropout, step, p.first_example + static_cast<uint32_t>(n));
    const Philox::Block bits = stream.quad(quad);
    const int64_t at = n * p.units + unit;
    if (p.vector) {
      const float4 v = load4(x + at);
      store4(y + at,
             make_float4(drop(bits[0], p, v.x), drop(bits[1], p, v.y), drop(bits[2], p, v.z), drop(bits[3], p, v.w)));
      continue;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (unit + i < p.units) y[at + i] = drop(bits[static_cast<size_t>(i)], p, x[at + i]);
    }
  }
}

}  // namespace

absl::Status dropout_fwd(const KernelContext& ctx, const DropoutParams& p, const float* x, float* y) {
  const DropoutArgs args{.N = p.N,
                         .units = p.units,
                         .rate = p.rate,
                         .scale = 1.0f / (1.0f - p.rate),
                         .seed = p.seed,
                         .step = p.step,
                         .layer = p.layer,
                         .first_example = p.first_example,
                         .vector = p.units % 4 == 0 && is_aligned<16>(x) && is_aligned<16>(y)};
  const int64_t quads = ceil_div(p.units, 4);
  unsigned width = 32;  // a whole warp along the units at least
  while (width < kThreads && width < quads) width *= 2;
  const unsigned height = kThreads / width;
  const int64_t rows = std::min<int64_t>(ceil_div(p.N, height), 65535);  // the most that gridDim.y can be
  const LaunchDims dims{dim3(static_cast<unsigned>(ceil_div(quads, width)), static_cast<unsigned>(rows)),
                        dim3(width, height)};
  return launch(dropout_kernel, dims, ctx.device->stream, x, y, args, ctx.device->step_scalars);
}

// The derivative is the same mask and scale.
absl::Status dropout_bwd(const KernelContext& ctx, const DropoutParams& p, const float* grad_y, float* grad_x) {
  return cuda::dropout_fwd(ctx, p, grad_y, grad_x);
}

}  // namespace lockstep::cuda
