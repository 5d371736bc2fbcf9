// SPDX-License-Identifier: Apache-2.0
// What happens to a quad of sums: bias, ReLU, perhaps the max-pool, and the store.
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d_source.cuh"
#include "kernels/conv2d/conv2d_tile.h"
#include "kernels/launch.h"
#include "kernels/vec.cuh"

namespace lockstep::cuda {

struct Outputs {
  const float* bias = nullptr;  // (K); null: none
  bool relu = false;
  float* y = nullptr;         // (N, OH, OW, K), or (N, PH, PW, K) pooled
  uint8_t* argmax = nullptr;  // (N, PH, PW, K); pooled only
  int PH = 0, PW = 0;         // quads of an image that are windows; pooled only
  bool vector = false;        // K % 4 == 0, y 16-byte and argmax 4-byte aligned
  bool wide_argmax = false;   // K % 16 == 0 and argmax 16-byte aligned
};

__device__ __forceinline__ float biased(float v, float bias, bool relu) {
  v += bias;
  return relu && v < 0 ? 0.0f : v;  // keeps NaN
}
__device__ __forceinline__ float4 biased(float4 v, float4 b, bool relu) {
  return make_float4(biased(v.x, b.x, relu), biased(v.y, b.y, relu), biased(v.z, b.z, relu), biased(v.w, b.w, relu));
}

__device__ __forceinline__ void store_some(float* p, float4 v, int valid) {
  if (valid > 0) p[0] = v.x;
  if (valid > 1) p[1] = v.y;
  if (valid > 2) p[2] = v.z;
  if (valid > 3) p[3] = v.w;
}
__device__ __forceinline__ void store_some(uint8_t* p, uchar4 v, int valid) {
  if (valid > 0) p[0] = v.x;
  if (valid > 1) p[1] = v.y;
  if (valid > 2) p[2] = v.z;
  if (valid > 3) p[3] = v.w;
}

// A later position wins only when it is larger, or the first NaN.
__device__ __forceinline__ void take_larger(float& best, uint8_t& position, float v, int pos) {
  if (v > best || (v != v && best == best)) {
    best = v;
    position = static_cast<uint8_t>(pos);
  }
}

struct Maxima {
  float4 value;
  uchar4 position;
};
// Of the quad's pixels inside the image, in row-major order; the first is always inside.
__device__ __forceinline__ Maxima quad_maxima(const float4 (&v)[4], bool right_inside, bool lower_inside) {
  Maxima m{v[0], make_uchar4(0, 0, 0, 0)};
#pragma unroll
  for (int pos = 1; pos < 4; ++pos) {
    if ((pos % 2 == 1 && !right_inside) || (pos / 2 == 1 && !lower_inside)) continue;
    take_larger(m.value.x, m.position.x, v[pos].x, pos);
    take_larger(m.value.y, m.position.y, v[pos].y, pos);
    take_larger(m.value.z, m.position.z, v[pos].z, pos);
    take_larger(m.value.w, m.position.w, v[pos].w, pos);
  }
  return m;
}

__device__ __forceinline__ float4 bias_of(const Outputs& out, int k, int K) {
  return out.bias != nullptr ? load_some(out.bias + k, K - k) : zero4();
}

// Filters [k, k + 4) of quad (qh, qw) of image n, which exists, as outputs of the convolution.
__device__ __forceinline__ void store_quad(const Outputs& out, const ConvShape& s, int64_t n, int qh, int qw, int k,
                                           const float4 (&v)[4]) {
  if (k >= s.K) return;
  const float4 bias = bias_of(out, k, s.K);
#pragma unroll
  for (int pos = 0; pos < 4; ++pos) {
    const int oh = 2 * qh + pos / 2, ow = 2 * qw + pos % 2;
    if (oh >= s.OH || ow >= s.OW) continue;
    float* const y = out.y + ((n * s.OH + oh) * s.OW + ow) * s.K + k;
    const float4 value = biased(v[pos], bias, out.relu);
    if (out.vector) {
      store4(y, value);
    } else {
      store_some(y, value, s.K - k);
    }
  }
}

// The same as one output of the pool behind it. Returns where the maxima were; stores that too unless `keep_argmax`.
__device__ __forceinline__ uchar4 store_pooled(const Outputs& out, const ConvShape& s, int64_t n, int qh, int qw, int k,
                                               const float4 (&v)[4], bool keep_argmax) {
  if (qh >= out.PH || qw >= out.PW || k >= s.K) return make_uchar4(0, 0, 0, 0);
  const float4 bias = bias_of(out, k, s.K);
  float4 value[4];
#pragma unroll
  for (int pos = 0; pos < 4; ++pos) value[pos] = biased(v[pos], bias, out.relu);
  const Maxima m = quad_maxima(value, 2 * qw + 1 < s.OW, 2 * qh + 1 < s.OH);
  const int64_t i = ((n * out.PH + qh) * out.PW + qw) * s.K + k;
  if (out.vector) {
    store4(out.y + i, m.value);
    if (!keep_argmax) store4(out.argmax + i, m.position);
  } else {
    store_some(out.y + i, m.value, s.K - k);
    if (!keep_argmax) store_some(out.argmax + i, m.position, s.K - k);
  }
  return m.position;
}

}  // namespace lockstep::cuda
