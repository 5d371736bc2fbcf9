// SPDX-License-Identifier: Apache-2.0
// Convolutions of any size, one output a thread: for sizes that the tiled kernels do not fit or not suit.
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d_source.cuh"
#include "kernels/conv2d/conv2d_stage.cuh"
#include "kernels/conv2d/conv2d_store.cuh"
#include "kernels/conv2d/conv2d_tile.h"
#include "kernels/launch.h"

namespace lockstep::cuda {

constexpr int kDirectThreads = 256;

// y (N, OH, OW, K) from x (N, H, W, C) and w (R, S, C, K). Neighbouring threads have neighbouring filters: they read
// one input and a row of weights.
__global__ void __launch_bounds__(kDirectThreads)
    conv2d_direct_fwd_kernel(ConvShape s, int64_t N, const float* x, const float* w, Outputs out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kDirectThreads + threadIdx.x;
  if (i >= N * s.OH * s.OW * s.K) return;
  const auto k = static_cast<int>(i % s.K), ow = static_cast<int>(i / s.K % s.OW);
  const auto oh = static_cast<int>(i / s.K / s.OW % s.OH);
  const int64_t n = i / s.K / s.OW / s.OH;
  float sum = 0;
  for (int r = 0; r < s.R; ++r) {
    const int h = oh * s.stride + r - s.pad_h;
    if (h < 0 || h >= s.H) continue;
    for (int tap = 0; tap < s.S; ++tap) {
      const int column = ow * s.stride + tap - s.pad_w;
      if (column < 0 || column >= s.W) continue;
      const float* const pixel = x + ((n * s.H + h) * s.W + column) * s.C;
      const float* const filter = w + static_cast<int64_t>(r * s.S + tap) * s.C * s.K + k;
      for (int c = 0; c < s.C; ++c) sum = fmaf(pixel[c], filter[static_cast<int64_t>(c) * s.K], sum);
    }
  }
  out.y[i] = biased(sum, out.bias[k], out.relu);
}

// grad_x (N, H, W, C); s is the forward shape.
template <class Source>
__global__ void __launch_bounds__(kDirectThreads)
    conv2d_direct_bwd_data_kernel(ConvShape s, int64_t N, const float* w, Source grad, float* grad_x) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kDirectThreads + threadIdx.x;
  if (i >= N * s.H * s.W * s.C) return;
  const auto c = static_cast<int>(i % s.C), column = static_cast<int>(i / s.C % s.W);
  const auto h = static_cast<int>(i / s.C / s.W % s.H);
  const int64_t n = i / s.C / s.W / s.H;
  float sum = 0;
  for (int r = 0; r < s.R; ++r) {
    const int above = h + s.pad_h - r;
    if (above < 0 || above % s.stride != 0 || above / s.stride >= s.OH) continue;
    for (int tap = 0; tap < s.S; ++tap) {
      const int left = column + s.pad_w - tap;
      if (left < 0 || left % s.stride != 0 || left / s.stride >= s.OW) continue;
      const float* const filter = w + (static_cast<int64_t>(r * s.S + tap) * s.C + c) * s.K;
      for (int k = 0; k < s.K; ++k) {
        sum = fmaf(grad.at(n, above / s.stride, left / s.stride, k), filter[k], sum);
      }
    }
  }
  grad_x[i] = sum;
}

// Partial sums of chunk blockIdx.y of the slices: (R, S, C, K), then (K). One element a thread.
template <class Source>
__global__ void __launch_bounds__(kDirectThreads)
    conv2d_direct_bwd_filter_kernel(ConvShape s, SliceTable slices, const float* x, Source grad, float* partials,
                                    int64_t partial_stride) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kDirectThreads + threadIdx.x;
  const int64_t size_w = static_cast<int64_t>(s.R) * s.S * s.C * s.K;
  if (i >= size_w + s.K) return;
  const auto k = static_cast<int>(i % s.K);
  const int64_t row = i / s.K;  // of filters; the one behind the last is the bias, whose input is 1
  const bool bias = i >= size_w;
  const auto c = static_cast<int>(row % s.C), tap = bias ? 0 : static_cast<int>(row / s.C % s.S);
  const int r = bias ? 0 : static_cast<int>(row / s.C / s.S);
  const ExampleRange range =
      chunk_range(slices, static_cast<int>(blockIdx.y) / slices.slots, static_cast<int>(blockIdx.y) % slices.slots);
  if (range.begin == range.end) return;
  float sum = 0;
  for (int64_t n = range.begin; n < range.end; ++n) {
    for (int oh = 0; oh < s.OH; ++oh) {
      const int h = oh * s.stride + r - s.pad_h;
      if (!bias && (h < 0 || h >= s.H)) continue;
      for (int ow = 0; ow < s.OW; ++ow) {
        const int column = ow * s.stride + tap - s.pad_w;
        if (!bias && (column < 0 || column >= s.W)) continue;
        const float g = grad.at(n, oh, ow, k);
        sum = bias ? sum + g : fmaf(x[((n * s.H + h) * s.W + column) * s.C + c], g, sum);
      }
    }
  }
  partials[static_cast<int64_t>(blockIdx.y) * partial_stride + i] = sum;
}

// The gradient in front of a max-pool whose windows are not quads, behind the ReLU: each pixel gathers from the windows
// that hold it, in row-major order. For such pools it is put into the workspace and then read as a dense one.
struct PoolShape {
  int H = 0, W = 0, C = 0, PH = 0, PW = 0;
  int window = 0, stride = 0, pad_h = 0, pad_w = 0;
};
__global__ void __launch_bounds__(kDirectThreads)
    conv2d_unpool_kernel(PoolShape p, int64_t N, const float* values, const float* output, const uint8_t* argmax,
                         float* full) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kDirectThreads + threadIdx.x;
  if (i >= N * p.H * p.W * p.C) return;
  const auto c = static_cast<int>(i % p.C), w = static_cast<int>(i / p.C % p.W);
  const auto h = static_cast<int>(i / p.C / p.W % p.H);
  const int64_t n = i / p.C / p.W / p.H;
  const int bottom = h + p.pad_h, right = w + p.pad_w;
  float sum = 0;
  for (int qh = bottom < p.window ? 0 : (bottom - p.window) / p.stride + 1; qh < p.PH && qh * p.stride <= bottom;
       ++qh) {
    for (int qw = right < p.window ? 0 : (right - p.window) / p.stride + 1; qw < p.PW && qw * p.stride <= right; ++qw) {
      const int64_t j = ((n * p.PH + qh) * p.PW + qw) * p.C + c;
      if (argmax[j] != (bottom - qh * p.stride) * p.window + right - qw * p.stride) continue;
      sum += output != nullptr ? behind_relu(values[j], output[j]) : values[j];
    }
  }
  full[i] = sum;
}

}  // namespace lockstep::cuda
