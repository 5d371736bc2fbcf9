// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "kernels/launch.h"
#include "kernels/pool2d/pool2d_impl.h"
#include "kernels/vec.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 128;

struct PoolShape {
  int64_t N;
  int H, W, C, OH, OW, window, stride, pad_h, pad_w;
};

// Neighbouring channels, which one thread moves at once.
template <int kWidth>
struct alignas(4 * kWidth) Values {
  float v[kWidth];
};
template <int kWidth>
struct alignas(kWidth) Bytes {
  uint8_t v[kWidth];
};
template <typename T>
__device__ __forceinline__ T load_as(const void* p) {
  return *reinterpret_cast<const T*>(p);
}
template <typename T>
__device__ __forceinline__ void store_as(void* p, const T& value) {
  *reinterpret_cast<T*>(p) = value;
}

// Where a thread works: a position (row, column) of a plane with `columns` columns, and its first channel.
struct Place {
  int row, column, channel;
};
template <int kWidth>
__device__ __forceinline__ Place place_of(unsigned element, int columns, int C) {
  const unsigned groups = static_cast<unsigned>(C) / kWidth;
  const unsigned pixel = element / groups;
  return {static_cast<int>(pixel / static_cast<unsigned>(columns)),
          static_cast<int>(pixel % static_cast<unsigned>(columns)), static_cast<int>(element % groups) * kWidth};
}

__device__ __forceinline__ bool beats(float value, float best) {
  return value > best || (value != value && best == best);
}

// x (N, H, W, C) -> y, argmax (N, OH, OW, C). A thread makes kWidth channels of one output position of the images
// blockIdx.y, blockIdx.y + gridDim.y, ... Memory bound: reads x once when windows do not overlap, else through L1.
template <int kWidth>
__global__ void pool2d_max_fwd_kernel(const float* x, float* y, uint8_t* argmax, PoolShape p) {
  const unsigned element = blockIdx.x * kThreads + threadIdx.x;
  if (element >= static_cast<unsigned>(p.OH * p.OW * (p.C / kWidth))) return;
  const Place out = place_of<kWidth>(element, p.OW, p.C);
  const int h0 = out.row * p.stride - p.pad_h, w0 = out.column * p.stride - p.pad_w;
  const int h_begin = max(h0, 0), h_end = min(h0 + p.window, p.H);
  const int w_begin = max(w0, 0), w_end = min(w0 + p.window, p.W);
  for (int64_t n = blockIdx.y; n < p.N; n += gridDim.y) {
    const float* const image = x + n * p.H * p.W * p.C + out.channel;
    // The first position wins whatever it holds: it is loaded before the loop compares it with itself.
    auto best = load_as<Values<kWidth>>(image + (static_cast<int64_t>(h_begin) * p.W + w_begin) * p.C);
    Bytes<kWidth> where;
    const int first = (h_begin - h0) * p.window + (w_begin - w0);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) where.v[i] = static_cast<uint8_t>(first);
    for (int h = h_begin; h < h_end; ++h) {
      for (int w = w_begin; w < w_end; ++w) {
        const auto here = load_as<Values<kWidth>>(image + (static_cast<int64_t>(h) * p.W + w) * p.C);
        const int position = (h - h0) * p.window + (w - w0);
#pragma unroll
        for (int i = 0; i < kWidth; ++i) {
          if (!beats(here.v[i], best.v[i])) continue;
          best.v[i] = here.v[i];
          where.v[i] = static_cast<uint8_t>(position);
        }
      }
    }
    const int64_t at = n * p.OH * p.OW * p.C + static_cast<int64_t>(element) * kWidth;
    store_as(y + at, best);
    store_as(argmax + at, where);
  }
}

// argmax, grad_y (N, OH, OW, C) -> grad_x (N, H, W, C). A thread makes kWidth channels of one input position: it looks
// at the windows that cover the position, in row-major order. Any window and stride.
template <int kWidth>
__global__ void pool2d_max_bwd_kernel(const uint8_t* argmax, const float* grad_y, float* grad_x, PoolShape p) {
  const unsigned element = blockIdx.x * kThreads + threadIdx.x;
  if (element >= static_cast<unsigned>(p.H * p.W * (p.C / kWidth))) return;
  const Place in = place_of<kWidth>(element, p.W, p.C);
  const int h = in.row + p.pad_h, w = in.column + p.pad_w;  // from where the first window starts
  const int oh_begin = max(h - p.window + p.stride, 0) / p.stride, oh_end = min(h / p.stride + 1, p.OH);
  const int ow_begin = max(w - p.window + p.stride, 0) / p.stride, ow_end = min(w / p.stride + 1, p.OW);
  for (int64_t n = blockIdx.y; n < p.N; n += gridDim.y) {
    Values<kWidth> sum{};
    for (int oh = oh_begin; oh < oh_end; ++oh) {
      for (int ow = ow_begin; ow < ow_end; ++ow) {
        const int64_t at = ((n * p.OH + oh) * p.OW + ow) * p.C + in.channel;
        const auto winner = load_as<Bytes<kWidth>>(argmax + at);
        const auto grad = load_as<Values<kWidth>>(grad_y + at);
        const int position = (h - oh * p.stride) * p.window + (w - ow * p.stride);
#pragma unroll
        for (int i = 0; i < kWidth; ++i) sum.v[i] += winner.v[i] == position ? grad.v[i] : 0.0f;
      }
    }
    store_as(grad_x + n * p.H * p.W * p.C + static_cast<int64_t>(element) * kWidth, sum);
  }
}

// The same where the windows tile the image: a thread reads one output position and writes its whole window, so that
// everything is read and written once.
template <int kWidth>
__global__ void pool2d_max_bwd_tiled_kernel(const uint8_t* argmax, const float* grad_y, float* grad_x, PoolShape p) {
  const unsigned element = blockIdx.x * kThreads + threadIdx.x;
  if (element >= static_cast<unsigned>(p.OH * p.OW * (p.C / kWidth))) return;
  const Place out = place_of<kWidth>(element, p.OW, p.C);
  const int h0 = out.row * p.stride, w0 = out.column * p.stride;
  for (int64_t n = blockIdx.y; n < p.N; n += gridDim.y) {
    const int64_t at = n * p.OH * p.OW * p.C + static_cast<int64_t>(element) * kWidth;
    const auto winner = load_as<Bytes<kWidth>>(argmax + at);
    const auto grad = load_as<Values<kWidth>>(grad_y + at);
    float* const image = grad_x + n * p.H * p.W * p.C + out.channel;
    for (int position = 0; position < p.window * p.window; ++position) {
      Values<kWidth> part;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) part.v[i] = winner.v[i] == position ? grad.v[i] : 0.0f;
      const int h = h0 + position / p.window, w = w0 + position % p.window;
      store_as(image + (static_cast<int64_t>(h) * p.W + w) * p.C, part);
    }
  }
}

PoolShape shape_of(const Pool2dParams& p) {
  const WindowDim h = p.dim_h(), w = p.dim_w();
  return {p.N, p.H, p.W, p.C, h.out, w.out, p.window, p.stride, h.pad_before, w.pad_before};
}

// One thread per `elements`; kernels count those of an image in 31 bits.
absl::StatusOr<LaunchDims> dims_for(const PoolShape& p, int64_t rows, int64_t columns, int width) {
  if (static_cast<int64_t>(p.H) * p.W * p.C > std::numeric_limits<int>::max()) {
    return absl::UnimplementedError("pool2d: an image of more than 2^31 elements on a GPU");
  }
  const int64_t blocks = ceil_div(rows * columns * (p.C / width), kThreads);
  return LaunchDims{dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(std::min<int64_t>(p.N, 65535))),
                    dim3(kThreads)};
}

bool windows_tile(const PoolShape& p) {
  return p.window == p.stride && p.OH * p.stride == p.H && p.OW * p.stride == p.W;
}

}  // namespace

absl::Status pool2d_max_fwd(const KernelContext& ctx, const Pool2dParams& params, const float* x, float* y,
                            uint8_t* argmax) {
  const PoolShape p = shape_of(params);
  const bool vector = p.C % 4 == 0 && is_aligned<16>(x) && is_aligned<16>(y) && is_aligned<4>(argmax);
  LOCKSTEP_ASSIGN_OR_RETURN(const LaunchDims dims, dims_for(p, p.OH, p.OW, vector ? 4 : 1));
  return launch(vector ? pool2d_max_fwd_kernel<4> : pool2d_max_fwd_kernel<1>, dims, ctx.device->stream, x, y, argmax,
                p);
}

absl::Status pool2d_max_bwd(const KernelContext& ctx, const Pool2dParams& params, const uint8_t* argmax,
                            const float* grad_y, float* grad_x) {
  const PoolShape p = shape_of(params);
  const bool vector = p.C % 4 == 0 && is_aligned<16>(grad_x) && is_aligned<16>(grad_y) && is_aligned<4>(argmax);
  if (windows_tile(p)) {
    LOCKSTEP_ASSIGN_OR_RETURN(const LaunchDims dims, dims_for(p, p.OH, p.OW, vector ? 4 : 1));
    return launch(vector ? pool2d_max_bwd_tiled_kernel<4> : pool2d_max_bwd_tiled_kernel<1>, dims, ctx.device->stream,
                  argmax, grad_y, grad_x, p);
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const LaunchDims dims, dims_for(p, p.H, p.W, vector ? 4 : 1));
  return launch(vector ? pool2d_max_bwd_kernel<4> : pool2d_max_bwd_kernel<1>, dims, ctx.device->stream, argmax, grad_y,
                grad_x, p);
}

}  // namespace lockstep::cuda
