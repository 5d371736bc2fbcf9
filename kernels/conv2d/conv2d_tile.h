// SPDX-License-Identifier: Apache-2.0
// How the CUDA convolutions cut their work; plain structs that travel to the kernels by value.
//
// Every convolution-like sum is over taps (r, s) and input channels. The outputs of an image are cut into quads, 2 x 2
// of them, the window of the usual max-pool, so that one thread holds a whole window in registers. A block owns the
// quads of one rectangular tile (of several images where they are small) and keeps the input under it, the patch, in
// shared memory: each input is then read from memory once per tile, not once per tap.
#pragma once

#include <cstdint>

namespace lockstep::cuda {

// Sizes of one sum: y[n,oh,ow,k] = sum x[n, oh*stride + r - pad_h, ow*stride + s - pad_w, c] * f[r,s,c,k]. The gradient
// with respect to x is the same sum over grad_y with filters turned round, input and output exchanged.
struct ConvShape {
  int H = 0, W = 0, C = 0;    // input
  int OH = 0, OW = 0, K = 0;  // output
  int R = 0, S = 0;           // filter
  int stride = 1;
  int pad_h = 0, pad_w = 0;  // zeros in front of the input
};

// Words are 32 bits in shared memory: one float or tf32 channel, or two bfloat16 channels.
struct PatchTile {
  int images = 1;                // per block
  int quads_h = 0, quads_w = 0;  // of a tile
  int tiles_h = 0, tiles_w = 0;  // of an image
  int patch_h = 0, patch_w = 0;  // pixels under a tile
  int pixel_pitch = 0;           // words from pixel to pixel, multiples of 4 as are those that follow
  int row_pitch = 0;             //
  int image_pitch = 0;           //
  int chunk_words = 0;           // words of channels that are staged at a time
  int chunks = 0;                // of all channels
};

// Examples of gradient slices, and how each slice is cut into chunks, one per block. The cut depends on the size of the
// slice alone, so that its gradient does not depend on which other slices share the launch.
constexpr int kMaxSlices = 256;  // most that a configuration may ask for
struct SliceTable {
  int count = 0;
  int slots = 1;         // partial sums reserved per slice; a slice uses the first chunks(slice) of them
  int chunk_target = 1;  // chunks that a large slice is cut into
  int64_t begin[kMaxSlices + 1] = {};
};

// Examples in a chunk of a slice of `examples`; at least 1.
constexpr int64_t chunk_examples(int64_t examples, int chunk_target) {
  const int64_t share = (examples + chunk_target - 1) / chunk_target;
  return share > 1 ? share : 1;
}
constexpr int64_t chunk_count(int64_t examples, int chunk_target) {
  const int64_t size = chunk_examples(examples, chunk_target);
  return (examples + size - 1) / size;
}

}  // namespace lockstep::cuda
