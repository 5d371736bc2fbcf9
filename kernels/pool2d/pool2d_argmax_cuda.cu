// SPDX-License-Identifier: Apache-2.0
#include "kernels/launch.h"
#include "kernels/pool2d/pool2d_argmax.h"
#include "kernels/vec.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 256;

struct PoolSizes {
  int64_t count;  // N * OH * OW * C
  int H, W, C, OH, OW, window, stride, pad_h, pad_w;
};

// One output a thread, neighbouring threads have neighbouring channels. Looks at the window in row-major order until it
// meets the maximum. Memory bound: reads most of x.
__global__ void pool2d_argmax_kernel(const float* x, const float* y, uint8_t* argmax, PoolSizes p) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= p.count) return;
  const auto c = static_cast<int>(i % p.C), ow = static_cast<int>(i / p.C % p.OW);
  const auto oh = static_cast<int>(i / p.C / p.OW % p.OH);
  const int64_t n = i / p.C / p.OW / p.OH;
  const float maximum = y[i];
  const int h0 = oh * p.stride - p.pad_h, w0 = ow * p.stride - p.pad_w;
  for (int r = h0 < 0 ? -h0 : 0; r < p.window && h0 + r < p.H; ++r) {
    for (int s = w0 < 0 ? -w0 : 0; s < p.window && w0 + s < p.W; ++s) {
      const float value = x[((n * p.H + h0 + r) * p.W + w0 + s) * p.C + c];
      if (value != maximum && (value == value || maximum == maximum)) continue;
      argmax[i] = static_cast<uint8_t>(r * p.window + s);
      return;
    }
  }
  // Not a maximum of the window: a position inside the image all the same, so that backward stays in its memory.
  argmax[i] = static_cast<uint8_t>((h0 < 0 ? -h0 : 0) * p.window + (w0 < 0 ? -w0 : 0));
}

}  // namespace

absl::Status pool2d_argmax(const DeviceContext& device, const Pool2dParams& p, const float* x, const float* y,
                           uint8_t* argmax) {
  const WindowDim h = p.dim_h(), w = p.dim_w();
  const PoolSizes sizes{
      p.N * h.out * w.out * p.C, p.H, p.W, p.C, h.out, w.out, p.window, p.stride, h.pad_before, w.pad_before};
  const LaunchDims dims{dim3(static_cast<unsigned>(ceil_div(sizes.count, kThreads))), dim3(kThreads)};
  return launch(pool2d_argmax_kernel, dims, device.stream, x, y, argmax, sizes);
}

}  // namespace lockstep::cuda
