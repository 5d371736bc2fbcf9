// SPDX-License-Identifier: Apache-2.0
// Compute bound: 2 N FLOP and Adam's 24 bytes for each weight, which are asked for one tile ahead and arrive while the
// multipliers work. The tile itself stays in the first-level cache between the two.
#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/dense/dense_update_simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/adam/adam-inl.h"
#include "kernels/adam/adam_impl.h"
#include "kernels/dense/dense_grad-inl.h"
#include "kernels/dense/dense_impl.h"
#include "kernels/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

enum UpdateSlot { kInputsSlot = 3 };

int update_panel() { return kPanel; }
int update_rows() { return kMaxRows; }
int64_t update_panel_floats(const DenseParams& p) { return p.N * round_up(p.O, kLanes); }

// Outputs [o, o + columns of a panel) of the gradients of all examples, behind each other: rows of a wide layer lie
// pages apart, where they would share sets of the first-level cache.
void update_pack_panel(const DenseParams& p, std::span<const DenseOperands> parts, int o, float* panels) {
  const int columns = std::min(kPanel, p.O - o), width = round_up(columns, kLanes);
  float* to = panels + p.N * o;
  for (const DenseOperands& part : parts) {
    const float* from = part.data + part.N * p.I + o;
    for (int64_t n = 0; n < part.N; ++n, from += p.O, to += width) {
      std::copy_n(from, columns, to);
      std::fill(to + columns, to + width, 0.0f);
    }
  }
}

// Row `row` of a tile of gradients, outputs [o, o + columns), to the moments and weights within `range`.
HWY_INLINE void update_row(const AdamParams& adam, float rate, const AdamRange& range, int64_t row_begin, int columns,
                           const float* grad) {
  const int64_t begin = std::max(range.begin, row_begin), end = std::min(range.end, row_begin + columns);
  if (begin >= end) return;
  grad += begin - row_begin;
  adam_block(
      adam, rate, static_cast<int>(end - begin), kPanel, [grad](auto tag, int i) { return hn::LoadU(tag, grad + i); },
      range.m + begin, range.v + begin, range.w + begin);
}

// Inputs [i, i + rows), rows <= kMaxRows, of the weights within `range`. `parts` empty: of the bias, which is the
// weight of an input that is always one.
void update_weights(const DenseParams& p, const GradSlices& slices, std::span<const DenseOperands> parts,
                    const float* panels, const AdamParams& adam, const AdamRange& range, int i, int rows) {
  const float rate = simd::adam_rate(adam);
  float* const inputs = scratch(kInputsSlot, static_cast<size_t>(p.N * rows + kPackSlack));
  if (parts.empty()) std::fill_n(inputs, p.N * rows, 1.0f);
  float* to = inputs;
  for (const DenseOperands& part : parts) {
    pack_inputs(part.data, part.N, p.I, i, rows, to);
    to += part.N * rows;
  }
  HWY_ALIGN float tile[kMaxRows * kPanel];
  for (int o = 0; o < p.O; o += kPanel) {
    const int columns = std::min(kPanel, p.O - o), width = round_up(columns, kLanes);
    grad_tile_for(rows, width / kLanes)(slices.offsets.data(), slices.slices(), inputs, panels + p.N * o, width, tile,
                                        width);
    for (int r = 0; r < rows; ++r) {
      update_row(adam, rate, range, int64_t{i + r} * p.O + o, columns, tile + r * width);
    }
  }
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::simd {

HWY_EXPORT(update_panel);
HWY_EXPORT(update_rows);
HWY_EXPORT(update_panel_floats);
HWY_EXPORT(update_pack_panel);
HWY_EXPORT(update_weights);

int64_t dense_update_scratch_floats(const DenseParams& p) { return HWY_DYNAMIC_DISPATCH(update_panel_floats)(p); }

absl::Status dense_update(const KernelContext& ctx, const DenseParams& p, const GradSlices& slices,
                          std::span<const DenseOperands> parts, const AdamParams& adam, const AdamRange& kernel,
                          const AdamRange& bias) {
  constexpr int kPanelsSlot = 0;
  const int panel = HWY_DYNAMIC_DISPATCH(update_panel)(), most_rows = HWY_DYNAMIC_DISPATCH(update_rows)();
  float* const panels = scratch(kPanelsSlot, static_cast<size_t>(simd::dense_update_scratch_floats(p)));
  parallel_for(ctx.pool, (p.O + panel - 1) / panel, [&](int64_t t, int) {
    HWY_DYNAMIC_DISPATCH(update_pack_panel)(p, parts, static_cast<int>(t) * panel, panels);
  });
  // Rows of the first and the last input may lie in part outside of the range.
  const bool any = kernel.begin < kernel.end;
  const int64_t first = any ? kernel.begin / p.O : 0, last = any ? (kernel.end - 1) / p.O + 1 : 0;
  const int64_t tiles = (last - first + most_rows - 1) / most_rows;
  parallel_for(ctx.pool, tiles + (bias.begin < bias.end ? 1 : 0), [&](int64_t t, int) {
    if (t == tiles) return HWY_DYNAMIC_DISPATCH(update_weights)(p, slices, {}, panels, adam, bias, 0, 1);
    const auto begin = static_cast<int>(first + t * (last - first) / tiles);
    const auto end = static_cast<int>(first + (t + 1) * (last - first) / tiles);
    HWY_DYNAMIC_DISPATCH(update_weights)(p, slices, parts, panels, adam, kernel, begin, end - begin);
  });
  return absl::OkStatus();
}

}  // namespace lockstep::simd
#endif  // HWY_ONCE
