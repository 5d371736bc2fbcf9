// SPDX-License-Identifier: Apache-2.0
// Which kernel computes a convolution, and how it is tiled: a function of the layer's sizes alone, never of the batch,
// so that an example's result does not depend on its neighbours. Host code.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/conv2d_tile.h"

namespace lockstep::cuda {

enum class ConvMath { kFloat, kTf32, kBf16 };

inline ConvShape forward_shape(const Conv2dParams& p) {
  return {p.H, p.W, p.C, p.OH(), p.OW(), p.K, p.R, p.S, p.stride, p.dim_h().pad_before, p.dim_w().pad_before};
}
// The sum that grad_x is, for stride 1.
inline ConvShape backward_shape(const Conv2dParams& p) {
  return {
      p.OH(), p.OW(), p.K, p.H, p.W, p.C, p.R, p.S, 1, p.R - 1 - p.dim_h().pad_before, p.S - 1 - p.dim_w().pad_before};
}

// Whether the pool's windows are the quads (2 x 2, stride 2; TensorFlow never pads such a pool in front).
inline bool pools_quads(const Pool2dParams& pool) { return pool.window == 2 && pool.stride == 2; }

constexpr int div_up(int a, int b) { return (a + b - 1) / b; }
constexpr int round_up(int a, int b) { return div_up(a, b) * b; }

// What a block may have on every GPU that we build for (sm_86 and sm_89 have the least).
constexpr int kMostSharedBytes = 96 * 1024;
// Below it an H100 holds three blocks per multiprocessor, which hide each other's loads.
constexpr int kWantedSharedBytes = 74 * 1024;

// A PatchTile under construction: which tile sizes are possible and what each costs.
struct TileRules {
  int most_quads = 0;                // of a block
  int most_images = 1;               // of a block
  int quad_step = 1;                 // quads are computed in groups of so many
  int quad_words = 0;                // shared memory beside the patch: per quad
  int block_words = 0;               // … and per block
  bool neighbours_16_apart = false;  // see TensorSums: quads 16 words apart modulo 32
  bool rows_16_apart = false;        // see Tf32GradSums: rows of pixels 16 words apart modulo 32
  bool rows_4_apart = false;         // see Bf16GradSums: rows of pixels an odd multiple of 4 words apart
};

// Smallest pitch from `least` on, in steps of 4 words, such that `pitch - before` is 16 modulo 32.
inline int pitch_16_apart(int least, int factor, int before) {
  for (int pitch = least; pitch < least + 32; pitch += 4) {
    if (((factor * pitch - before) % 32 + 32) % 32 == 16) return pitch;
  }
  return least;
}

inline void set_pitches(const ConvShape& s, const TileRules& rules, PatchTile& t) {
  t.patch_h = (2 * t.quads_h - 1) * s.stride + s.R;
  t.patch_w = (2 * t.quads_w - 1) * s.stride + s.S;
  t.row_pitch = t.patch_w * t.pixel_pitch;
  const int step = 2 * s.stride * t.pixel_pitch;  // from quad to quad
  // Pairs of quads that straddle the end of a row, or of an image.
  if (rules.neighbours_16_apart && t.quads_w % 2 == 1) {
    t.row_pitch = pitch_16_apart(t.row_pitch, 2 * s.stride, (t.quads_w - 1) * step);
  }
  if (rules.rows_16_apart) t.row_pitch = pitch_16_apart(t.row_pitch, s.stride, 0);
  if (rules.rows_4_apart && t.row_pitch % 8 == 0) t.row_pitch += 4;
  t.image_pitch = t.patch_h * t.row_pitch;
  if (rules.neighbours_16_apart && t.quads_w % 2 == 1 && t.quads_h % 2 == 1) {
    const int last = (t.quads_w - 1) * step + (t.quads_h - 1) * 2 * s.stride * t.row_pitch;
    t.image_pitch = pitch_16_apart(t.image_pitch, 1, last);
  }
}

inline int64_t shared_bytes(const TileRules& rules, const PatchTile& t) {
  const int quads = round_up(t.images * t.quads_h * t.quads_w, rules.quad_step);
  return int64_t{4} * (int64_t{t.images} * t.image_pitch + int64_t{quads} * rules.quad_words + rules.block_words);
}

// Instructions of one image, very roughly: multiplications of quads rounded up to whole steps, copies of pixels, and
// what a block costs beside both.
inline double tile_cost(const ConvShape& s, const TileRules& rules, const PatchTile& t) {
  const double quads = round_up(t.images * t.quads_h * t.quads_w, rules.quad_step);
  const double pixels = static_cast<double>(t.images) * t.patch_h * t.patch_w;
  const double taps = s.R * s.S;
  const double crowding = shared_bytes(rules, t) > kWantedSharedBytes ? 1.3 : 1.0;
  const double blocks = static_cast<double>(t.tiles_h) * t.tiles_w / t.images;
  return crowding * blocks * (quads * (taps + 2) + 0.5 * pixels + 4 * taps);
}

// The cheapest tile that fits; quads_h = 0 where none does. `t` comes with the channels' part filled in.
inline PatchTile cheapest_tile(const ConvShape& s, const TileRules& rules, PatchTile t) {
  const int QH = div_up(s.OH, 2), QW = div_up(s.OW, 2);
  PatchTile best = t;
  double best_cost = 0;
  const auto consider = [&](int images, int tiles_h, int tiles_w) {
    t.images = images;
    t.quads_h = div_up(QH, tiles_h);
    t.quads_w = div_up(QW, tiles_w);
    t.tiles_h = div_up(QH, t.quads_h);
    t.tiles_w = div_up(QW, t.quads_w);
    set_pitches(s, rules, t);
    if (images * t.quads_h * t.quads_w > rules.most_quads || shared_bytes(rules, t) > kMostSharedBytes) return;
    const double cost = tile_cost(s, rules, t);
    if (best.quads_h > 0 && cost >= best_cost) return;
    best = t;
    best_cost = cost;
  };
  for (int tiles_h = 1; tiles_h <= QH; ++tiles_h) {
    if (QH / tiles_h > rules.most_quads) continue;
    for (int tiles_w = 1; tiles_w <= QW; ++tiles_w) {
      consider(1, tiles_h, tiles_w);
      if (best.quads_h > 0 && best.quads_h * best.quads_w > 4 * div_up(QH, tiles_h) * div_up(QW, tiles_w)) break;
    }
  }
  for (int images = 2; images <= rules.most_images; ++images) consider(images, 1, 1);
  return best;
}

// ---- The patch convolution (conv2d_patch.cuh).

struct PatchPlan {
  PatchTile tile;
  int block_k = 64;  // filters of a block
  int threads = 0;
  int64_t shared_bytes = 0;
  int64_t packed_words = 0;

  bool fits() const { return tile.quads_h > 0; }
  int k_blocks(const ConvShape& s) const { return div_up(s.K, block_k); }
};

inline PatchPlan plan_patch(const ConvShape& s, ConvMath math) {
  PatchPlan plan;
  const bool tensor = math != ConvMath::kFloat;
  const int words = div_up(s.C, math == ConvMath::kBf16 ? 2 : 1);
  plan.block_k = s.K > 32 ? 64 : 32;
  PatchTile t;
  t.chunks = div_up(words, 32);
  t.chunk_words = round_up(div_up(words, t.chunks), tensor ? 16 : 4);
  t.pixel_pitch = t.chunk_words + (tensor ? 8 : 4);
  TileRules rules;
  rules.quad_step = 512 / plan.block_k;
  rules.most_quads = 8 * rules.quad_step;
  rules.most_images = 16;
  rules.block_words = std::max(2 * t.chunk_words * plan.block_k, 1536);  // 1536: arg-max positions of eight warps
  rules.neighbours_16_apart = tensor;
  plan.tile = cheapest_tile(s, rules, t);
  if (!plan.fits()) return plan;
  plan.threads = 32 * div_up(plan.tile.images * plan.tile.quads_h * plan.tile.quads_w, rules.quad_step);
  plan.shared_bytes = shared_bytes(rules, plan.tile);
  plan.packed_words = int64_t{plan.k_blocks(s)} * t.chunks * s.R * s.S * t.chunk_words * plan.block_k;
  return plan;
}

// ---- Images of one channel (conv2d_one_channel.cuh).

inline bool suits_one_channel(const ConvShape& s) {
  return s.C == 1 && s.stride == 1 && s.R == s.S && (s.R == 3 || s.R == 5);
}

struct OneChannelPlan {
  PatchTile tile;
  int threads = 256;
};
inline OneChannelPlan plan_one_channel(const ConvShape& s) {
  PatchTile t;
  t.chunk_words = t.chunks = t.pixel_pitch = 1;
  TileRules rules;
  rules.most_quads = 256;
  rules.quad_step = 8;
  OneChannelPlan plan;
  plan.tile = cheapest_tile(s, rules, t);
  // Pairs of pixels are loaded at once.
  plan.tile.row_pitch = round_up(plan.tile.row_pitch, 2);
  plan.tile.image_pitch = plan.tile.patch_h * plan.tile.row_pitch;
  plan.threads = std::min(256, 32 * div_up(plan.tile.quads_h * plan.tile.quads_w, 8));
  return plan;
}

// ---- The filter gradient (conv2d_filter_grad.cuh).

struct FilterGradPlan {
  PatchTile tile;
  int taps_per_group = 1, groups = 1;
  int64_t shared_bytes = 0;

  bool fits() const { return tile.quads_h > 0; }
};

// Taps are warps: at most eight a block, as few idle as possible, many rather than few.
inline int taps_of_group(int taps) {
  int best = 1, best_slots = 1 << 30;
  for (int size = std::min(taps, 8); size >= std::min(taps, 4); --size) {
    const int slots = div_up(taps, size) * size;
    if (slots < best_slots) best = size, best_slots = slots;
  }
  return best;
}

inline FilterGradPlan plan_filter_grad(const ConvShape& s, ConvMath math) {
  FilterGradPlan plan;
  plan.taps_per_group = taps_of_group(s.R * s.S);
  plan.groups = div_up(s.R * s.S, plan.taps_per_group);
  PatchTile t;
  t.chunks = 1;  // blocks divide the channels, not a loop
  t.chunk_words = math == ConvMath::kBf16 ? 16 : 32;
  t.pixel_pitch = t.chunk_words + (math == ConvMath::kFloat ? 4 : 8);
  const int pitch = math == ConvMath::kFloat ? 64 : math == ConvMath::kTf32 ? 68 : 36;
  TileRules rules;
  rules.most_quads = 256;
  rules.quad_step = math == ConvMath::kFloat ? 1 : math == ConvMath::kTf32 ? 2 : 4;
  rules.quad_words = 4 * pitch + 2;
  rules.block_words = 16;  // a pixel of zeros
  rules.rows_16_apart = math == ConvMath::kTf32;
  rules.rows_4_apart = math == ConvMath::kBf16;
  plan.tile = cheapest_tile(s, rules, t);
  if (plan.fits()) plan.shared_bytes = shared_bytes(rules, plan.tile);
  return plan;
}

// Chunks that a large slice is cut into: enough blocks for a large GPU, as long as their partial sums stay small.
inline int chunk_target(int64_t filter_size, int most) {
  return static_cast<int>(std::clamp<int64_t>((int64_t{1} << 20) / filter_size, 1, most));
}

// ---- Which kernel.

enum class ConvKernel { kDirect, kOneChannel, kPatch };

// Few channels would leave most of a tile empty: the plain kernel is not slower then. (A warp of the patch kernel does
// 32 filters; of a float FMA's operands one in four is padding at C = 3.)
inline ConvKernel conv_kernel(const ConvShape& s) {
  if (suits_one_channel(s)) return ConvKernel::kOneChannel;
  const bool fits = plan_patch(s, ConvMath::kFloat).fits() && plan_patch(s, ConvMath::kTf32).fits() &&
                    plan_patch(s, ConvMath::kBf16).fits();
  return s.K >= 8 && fits ? ConvKernel::kPatch : ConvKernel::kDirect;
}
inline ConvKernel filter_grad_kernel(const ConvShape& s, ConvMath math) {
  if (suits_one_channel(s)) return ConvKernel::kOneChannel;
  return s.C >= 8 && s.K >= 8 && plan_filter_grad(s, math).fits() ? ConvKernel::kPatch : ConvKernel::kDirect;
}

// Tensor cores pay where their steps of 8 (16) channels are at least half full.
inline ConvMath math_for(const DeviceContext& device, int channels) {
  if (!device.tensor_cores || channels < 8) return ConvMath::kFloat;
  return device.bf16 && channels >= 16 ? ConvMath::kBf16 : ConvMath::kTf32;
}

}  // namespace lockstep::cuda
