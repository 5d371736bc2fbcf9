// SPDX-License-Identifier: Apache-2.0
// What the kernels read: activations, or the gradient behind a ReLU and behind a max-pool, made on the fly so that it
// never exists in memory. Channels come in fours; those behind the last and pixels outside the image are zero.
#pragma once

#include <cstdint>

#include "kernels/launch.h"
#include "kernels/vec.cuh"

namespace lockstep::cuda {

__device__ __forceinline__ float4 zero4() { return make_float4(0, 0, 0, 0); }

// Four channels of which the first `valid` exist.
__device__ __forceinline__ float4 load_some(const float* p, int valid) {
  return make_float4(valid > 0 ? p[0] : 0, valid > 1 ? p[1] : 0, valid > 2 ? p[2] : 0, valid > 3 ? p[3] : 0);
}

// value where the forward output was positive (or NaN), else 0.
__device__ __forceinline__ float behind_relu(float value, float output) { return output <= 0 ? 0.0f : value; }
__device__ __forceinline__ float4 behind_relu(float4 v, float4 y) {
  return make_float4(behind_relu(v.x, y.x), behind_relu(v.y, y.y), behind_relu(v.z, y.z), behind_relu(v.w, y.w));
}

// A dense array (N, H, W, C), perhaps masked by a ReLU's output of the same shape.
struct DenseSource {
  const float* values = nullptr;
  const float* output = nullptr;  // null: no mask
  int H = 0, W = 0, C = 0;
  bool vector = false;  // C % 4 == 0 and pointers 16-byte aligned

  __device__ __forceinline__ float at(int64_t n, int h, int w, int c) const {
    const int64_t i = ((n * H + h) * W + w) * C + c;
    const float value = values[i];
    return output != nullptr ? behind_relu(value, output[i]) : value;
  }

  // Channels c .. c + 3 of the pixel whose channel c is element i.
  __device__ __forceinline__ float4 load(int64_t i, int c) const {
    const float4 value = vector ? load4_readonly(values + i) : load_some(values + i, C - c);
    if (output == nullptr) return value;
    return behind_relu(value, vector ? load4_readonly(output + i) : load_some(output + i, C - c));
  }

  // Channel c of the four pixels of quad (qh, qw), row by row; zero for c >= C.
  __device__ __forceinline__ void quad_of(int64_t n, int qh, int qw, int c, float (&v)[4]) const {
#pragma unroll
    for (int pos = 0; pos < 4; ++pos) {
      const int h = 2 * qh + pos / 2, w = 2 * qw + pos % 2;
      v[pos] = h < H && w < W && c < C ? at(n, h, w, c) : 0;
    }
  }
};

// The gradient with respect to the input (N, H, W, C) of a 2 x 2 max-pool of stride 2 whose windows are the quads,
// behind the ReLU in front of the pool. Pixels without a window (an odd size, VALID) have none.
struct UnpooledSource {
  const float* values = nullptr;    // (N, PH, PW, C)
  const float* output = nullptr;    // (N, PH, PW, C) pooled output; null: no ReLU
  const uint8_t* argmax = nullptr;  // (N, PH, PW, C)
  int H = 0, W = 0, C = 0, PH = 0, PW = 0;
  bool vector = false;  // as above; argmax 4-byte aligned

  struct Pooled {
    float4 value;
    uchar4 position;
  };

  // Channels c .. c + 3 of the window whose channel c is element i.
  __device__ __forceinline__ Pooled load(int64_t i, int c) const {
    if (vector) {
      const float4 value = load4_readonly(values + i);
      const uchar4 position = load4(argmax + i);
      return {output != nullptr ? behind_relu(value, load4_readonly(output + i)) : value, position};
    }
    const float4 value = load_some(values + i, C - c);
    uchar4 position = make_uchar4(argmax[i], 0, 0, 0);
    if (c + 1 < C) position.y = argmax[i + 1];
    if (c + 2 < C) position.z = argmax[i + 2];
    if (c + 3 < C) position.w = argmax[i + 3];
    return {output != nullptr ? behind_relu(value, load_some(output + i, C - c)) : value, position};
  }

  __device__ __forceinline__ float at(int64_t n, int h, int w, int c) const {
    if (h / 2 >= PH || w / 2 >= PW) return 0;
    const int64_t i = ((n * PH + h / 2) * PW + w / 2) * C + c;
    if (argmax[i] != 2 * (h % 2) + w % 2) return 0;
    return output != nullptr ? behind_relu(values[i], output[i]) : values[i];
  }

  __device__ __forceinline__ void quad_of(int64_t n, int qh, int qw, int c, float (&v)[4]) const {
    float value = 0;
    int position = 0;
    if (qh < PH && qw < PW && c < C) {
      const int64_t i = ((n * PH + qh) * PW + qw) * C + c;
      position = argmax[i];
      value = output != nullptr ? behind_relu(values[i], output[i]) : values[i];
    }
#pragma unroll
    for (int pos = 0; pos < 4; ++pos) v[pos] = position == pos ? value : 0;
  }
};

}  // namespace lockstep::cuda
