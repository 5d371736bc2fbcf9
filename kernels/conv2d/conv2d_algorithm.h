// SPDX-License-Identifier: Apache-2.0
// The three ways the SIMD backend convolves, behind one table of functions, so that all share the loops over images,
// slices and threads in conv2d_simd.cc. Which one runs depends on the shape alone, never on batch, threads or ranks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/arguments.h"
#include "kernels/conv2d/conv2d.h"

namespace lockstep {

// The gradient arriving at the output of the convolution (or of the pool fused behind it).
struct ConvGradSource {
  const float* y;         // output, for the ReLU mask
  const uint8_t* argmax;  // with a fused pool
  const float* grad_y;
};

// The gradient of image n of a batch.
inline ConvGradSource grad_of_image(const Conv2dParams& p, const Pool2dParams* pool, const ConvGradSource& all,
                                    int64_t n) {
  const int64_t out = pool == nullptr ? int64_t{p.OH()} * p.OW() * p.K : int64_t{pool->OH()} * pool->OW() * p.K;
  return {offset_or_null(all.y, n * out), offset_or_null(all.argmax, n * out), all.grad_y + n * out};
}

// A range of the independent units that the filter gradient of one slice can be cut into.
struct ConvFilterPart {
  int begin, end;
};

// The input gradients of the images of a filter gradient, where both are wanted.
struct ConvDataGrad {
  const float* packed = nullptr;  // turned
  float* grad_x = nullptr;        // of the first image
};

// Filters are rearranged ("packed") once per call, or once for many; `turned` selects the form for the input gradient.
struct ConvAlgorithm {
  int group;  // images per call of fwd and bwd_data, at most
  int64_t (*packed_floats)(const Conv2dParams& p, bool turned);
  int (*pack_units)(const Conv2dParams& p, bool turned);
  void (*pack)(const Conv2dParams& p, bool turned, const float* w, int unit, float* packed);
  // `images` images; pool may be null (none is fused), argmax too (no pool, or inference).
  void (*fwd)(const Conv2dParams& p, const Pool2dParams* pool, int images, const float* x, const float* packed,
              const float* b, float* y, uint8_t* argmax);
  void (*bwd_data)(const Conv2dParams& p, const Pool2dParams* pool, int images, const float* packed,
                   const ConvGradSource& grad, float* grad_x);
  // The gradient of one slice of `images` images, overwritten; a part writes its share of grad_w, the first part
  // grad_b. With `data`, for algorithms with shares_work alone and a part that is the whole, also the input gradients
  // of the images, the bits of bwd_data.
  int (*filter_units)(const Conv2dParams& p);
  void (*bwd_filter)(const Conv2dParams& p, const Pool2dParams* pool, const ConvFilterPart& part, int64_t images,
                     const float* x, const ConvGradSource& grad, float* grad_w, float* grad_b,
                     const ConvDataGrad* data);
  bool shares_work;  // the two gradients have work in common
};

// Every shape.
ConvAlgorithm conv_direct();

// Stride 1, square filters of 3 or 5, channels in multiples of 16: 4 to 5 times fewer multiplications.
ConvAlgorithm conv_winograd();
// Stride 1, channels in multiples of 16, a plane that fits with its padding on a circle of 16 x 16, a filter that fits
// into the plane.
ConvAlgorithm conv_fft();

enum class ConvWay { kDirect, kWinograd, kFft };

// The way with the fewest multiplications for a pair of channels; but below a factor of two against direct convolution,
// and of 3/2 against Winograd's, whose filters are smaller, transforms eat the gain.
inline ConvWay conv_way(const Conv2dParams& p) {
  if (p.stride != 1 || p.C % 16 != 0 || p.K % 16 != 0) return ConvWay::kDirect;
  int64_t most = int64_t{p.OH()} * p.OW() * p.R * p.S / 2;
  ConvWay way = ConvWay::kDirect;
  if (p.R == p.S && (p.R == 3 || p.R == 5)) {
    const int m = 9 - p.R;  // outputs of a tile along each side, for 64 multiplications
    const int64_t tiles = int64_t{(p.OH() + m - 1) / m} * ((p.OW() + m - 1) / m);
    if (64 * tiles <= most) {
      way = ConvWay::kWinograd;
      most = 64 * tiles * 2 / 3;
    }
  }
  // Packed filters and sums take 256 floats for each pair, the latter in each thread.
  constexpr int64_t kMostPairs = 128 * 128;
  // No tap may reach around the circle from one end of a plane to the other, or meet padding alone.
  const auto fits = [](int in, int out, int taps, int pad) {
    return taps <= in && std::max(in + pad, out + taps - 1 - pad) <= 16;
  };
  const bool fit = fits(p.H, p.OH(), p.R, p.dim_h().pad_before) && fits(p.W, p.OW(), p.S, p.dim_w().pad_before);
  return fit && int64_t{p.C} * p.K <= kMostPairs && 508 <= most ? ConvWay::kFft : way;
}

// Scratch slots. The first two are filled by the calling thread and read by all; the others belong to one call above.
enum ConvSlot { kFilterSlot, kSlicesSlot, kInputSlot, kOutputSlot, kPointsSlot, kProductSlot, kTapsSlot, kSumSlot };

}  // namespace lockstep
