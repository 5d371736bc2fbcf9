// SPDX-License-Identifier: Apache-2.0
// Host side of the kernels: from a plan to launches. The workspace holds packed filters and partial sums.
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d_direct.cuh"
#include "kernels/conv2d/conv2d_filter_grad.cuh"
#include "kernels/conv2d/conv2d_grad_sum.cuh"
#include "kernels/conv2d/conv2d_impl.h"
#include "kernels/conv2d/conv2d_one_channel.cuh"
#include "kernels/conv2d/conv2d_pack.cuh"
#include "kernels/conv2d/conv2d_patch.cuh"
#include "kernels/conv2d/conv2d_plan.h"
#include "kernels/launch.h"
#include "kernels/vec.cuh"

namespace lockstep::cuda {

inline dim3 blocks(int64_t x, int64_t y = 1, int64_t z = 1) {
  return dim3(static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(z));
}
inline dim3 threads(int count) { return dim3(static_cast<unsigned>(count)); }

inline DenseSource dense_source(const float* values, const float* output, int H, int W, int C) {
  const bool vector = C % 4 == 0 && is_aligned<16>(values) && is_aligned<16>(output);
  return {values, output, H, W, C, vector};
}

inline void set_alignment(Outputs& out, int K) {
  out.vector = K % 4 == 0 && is_aligned<16>(out.y) && is_aligned<4>(out.argmax);
  out.wide_argmax = out.argmax != nullptr && out.vector && K % 16 == 0 && is_aligned<16>(out.argmax);
}

// ---- Sums over the input: forward, and backward data.

template <class Math, class Source, int kBlockK, bool kPool>
absl::Status launch_patch(const DeviceContext& device, const PatchPlan& plan, const FilterView& view,
                          const PatchConvArgs<Source>& args) {
  auto* const packed = static_cast<uint32_t*>(device.workspace);
  const LaunchDims pack{blocks(ceil_div(plan.packed_words, 256)), threads(256)};
  LOCKSTEP_RETURN_IF_ERROR(launch(conv2d_pack_kernel<Math>, pack, device.stream, view, plan.tile.chunk_words,
                                  plan.tile.chunks, kBlockK, plan.packed_words, packed));
  const PatchTile& t = plan.tile;
  const LaunchDims dims{blocks(ceil_div(args.N, t.images) * t.tiles_h * t.tiles_w, plan.k_blocks(args.shape)),
                        threads(plan.threads), static_cast<size_t>(plan.shared_bytes)};
  PatchConvArgs<Source> with_filters = args;
  with_filters.filters = packed;
  return launch(conv2d_patch_kernel<Math, Source, kBlockK, kPool>, dims, device.stream, with_filters);
}

template <bool kPool, class Source>
absl::Status patch_conv(const DeviceContext& device, ConvMath math, const FilterView& view,
                        PatchConvArgs<Source> args) {
  const PatchPlan plan = plan_patch(args.shape, math);
  args.tile = plan.tile;
  const bool wide = plan.block_k == 64;
  switch (math) {
    case ConvMath::kFloat:
      return wide ? launch_patch<FloatMath, Source, 64, kPool>(device, plan, view, args)
                  : launch_patch<FloatMath, Source, 32, kPool>(device, plan, view, args);
    case ConvMath::kTf32:
      return wide ? launch_patch<Tf32Math, Source, 64, kPool>(device, plan, view, args)
                  : launch_patch<Tf32Math, Source, 32, kPool>(device, plan, view, args);
    case ConvMath::kBf16:
      break;
  }
  return wide ? launch_patch<Bf16Math, Source, 64, kPool>(device, plan, view, args)
              : launch_patch<Bf16Math, Source, 32, kPool>(device, plan, view, args);
}

template <bool kPool>
absl::Status one_channel_conv(const DeviceContext& device, const ConvShape& s, int64_t N, const float* x,
                              const float* w, const Outputs& out) {
  const OneChannelPlan plan = plan_one_channel(s);
  const OneChannelArgs args{s, plan.tile, N, x, w, out};
  const int64_t floats = int64_t{s.R} * s.S * kOneChannelFilters + plan.tile.image_pitch;
  const LaunchDims dims{blocks(N * plan.tile.tiles_h * plan.tile.tiles_w, ceil_div(s.K, kOneChannelFilters)),
                        threads(plan.threads), static_cast<size_t>(floats) * sizeof(float)};
  return s.R == 3 ? launch(conv2d_one_channel_kernel<3, 3, kPool>, dims, device.stream, args)
                  : launch(conv2d_one_channel_kernel<5, 5, kPool>, dims, device.stream, args);
}

inline absl::Status direct_conv(const DeviceContext& device, const ConvShape& s, int64_t N, const float* x,
                                const float* w, const Outputs& out) {
  const LaunchDims dims{blocks(ceil_div(N * s.OH * s.OW * s.K, kDirectThreads)), threads(kDirectThreads)};
  return launch(conv2d_direct_fwd_kernel, dims, device.stream, s, N, x, w, out);
}

template <class Source>
absl::Status bwd_data(const DeviceContext& device, const Conv2dParams& p, const float* w, const Source& grad,
                      float* grad_x) {
  const ConvShape s = backward_shape(p);
  const ConvMath math = math_for(device, s.C);
  if (p.stride != 1 || conv_kernel(s) != ConvKernel::kPatch) {
    const LaunchDims dims{blocks(ceil_div(p.N * p.H * p.W * p.C, kDirectThreads)), threads(kDirectThreads)};
    return launch(conv2d_direct_bwd_data_kernel<Source>, dims, device.stream, forward_shape(p), p.N, w, grad, grad_x);
  }
  PatchConvArgs<Source> args{s, {}, p.N, grad, nullptr, {}};
  args.out.y = grad_x;
  set_alignment(args.out, s.K);
  const FilterView view{w, p.R * p.S, p.K, p.C, 1, p.K, /*backwards=*/true};
  return patch_conv<false>(device, math, view, args);
}

// ---- Filter gradients.

struct GradTargets {
  int64_t size_w = 0, size_b = 0;
  GradOutput w, b;
  int64_t stride() const { return (size_w + size_b + 3) / 4 * 4; }  // floats of a slot
};

inline int slot_count(const GradSlices& slices, int chunk_target) {
  int64_t most = 1;
  for (int s = 0; s < slices.slices(); ++s) {
    const auto i = static_cast<size_t>(s);
    const int64_t examples = slices.offsets[i + 1] - slices.offsets[i];
    if (examples > 0) most = std::max(most, chunk_count(examples, chunk_target));
  }
  return static_cast<int>(most);
}

inline SliceTable slice_table(const GradSlices& slices, int slots, int chunk_target) {
  SliceTable table;
  table.count = slices.slices();
  table.slots = slots;
  table.chunk_target = chunk_target;
  for (int s = 0; s <= table.count; ++s) table.begin[s] = slices.offsets[static_cast<size_t>(s)] - slices.offsets[0];
  return table;
}

// One partial sum per subtree.
inline absl::Status sum_partials(const DeviceContext& device, const GradSlices& slices, const GradTargets& to,
                                 const SliceTable& table, const float* partials) {
  GradSumArgs args;
  args.slices = table;
  args.partials = partials;
  args.stride = to.stride();
  args.size_w = to.size_w;
  args.size_b = to.size_b;
  const LaunchDims dims{blocks(ceil_div(to.size_w + to.size_b, kGradSumThreads)), threads(kGradSumThreads)};
  for (size_t t = 0; t < slices.subtrees.size(); args.first += slices.subtrees[t++]) {
    args.count = slices.subtrees[t];
    args.grad_w = to.w.data + static_cast<int64_t>(t) * to.w.stride;
    args.grad_b = to.b.data + static_cast<int64_t>(t) * to.b.stride;
    LOCKSTEP_RETURN_IF_ERROR(launch(conv2d_grad_sum_kernel, dims, device.stream, args));
  }
  return absl::OkStatus();
}

template <class Math, class Source>
absl::Status launch_filter_grad(const DeviceContext& device, const FilterGradPlan& plan,
                                const FilterGradArgs<Source>& args) {
  const ConvShape& s = args.shape;
  const LaunchDims dims{blocks(int64_t{args.slices.count} * args.slices.slots,
                               int64_t{plan.groups} * div_up(s.C, kGradChannels), div_up(s.K, kGradFilters)),
                        threads(32 * plan.taps_per_group), static_cast<size_t>(plan.shared_bytes)};
  return launch(conv2d_filter_grad_kernel<Math, Source>, dims, device.stream, args);
}

// The partial sums of all chunks.
template <class Source>
absl::Status chunk_gradients(const DeviceContext& device, const ConvShape& s, ConvMath math, const SliceTable& table,
                             const float* x, const Source& grad, float* partials, int64_t stride) {
  const int64_t chunks = int64_t{table.count} * table.slots;
  switch (filter_grad_kernel(s, math)) {
    case ConvKernel::kDirect: {
      const int64_t size = int64_t{s.R} * s.S * s.C * s.K + s.K;
      const LaunchDims dims{blocks(ceil_div(size, kDirectThreads), chunks), threads(kDirectThreads)};
      return launch(conv2d_direct_bwd_filter_kernel<Source>, dims, device.stream, s, table, x, grad, partials, stride);
    }
    case ConvKernel::kOneChannel: {
      const OneChannelPlan plan = plan_one_channel(s);
      const OneChannelGradArgs<Source> args{s, plan.tile, table, x, grad, partials, stride};
      const int64_t floats = plan.tile.image_pitch + int64_t{plan.threads} * (s.R * s.S + 1);
      const LaunchDims dims{blocks(chunks, ceil_div(s.K, kOneChannelFilters)), threads(plan.threads),
                            static_cast<size_t>(floats) * sizeof(float)};
      return s.R == 3 ? launch(conv2d_one_channel_grad_kernel<3, 3, Source>, dims, device.stream, args)
                      : launch(conv2d_one_channel_grad_kernel<5, 5, Source>, dims, device.stream, args);
    }
    case ConvKernel::kPatch:
      break;
  }
  const FilterGradPlan plan = plan_filter_grad(s, math);
  const FilterGradArgs<Source> args{
      s, plan.tile, table, plan.taps_per_group, dense_source(x, nullptr, s.H, s.W, s.C), grad, partials, stride};
  switch (math) {
    case ConvMath::kFloat:
      return launch_filter_grad<FloatMath>(device, plan, args);
    case ConvMath::kTf32:
      return launch_filter_grad<Tf32Math>(device, plan, args);
    case ConvMath::kBf16:
      break;
  }
  return launch_filter_grad<Bf16Math>(device, plan, args);
}

inline int chunk_target_of(const ConvShape& s) {
  return chunk_target(int64_t{s.R} * s.S * s.C * s.K, suits_one_channel(s) ? 64 : 16);
}

template <class Source>
absl::Status bwd_filter(const DeviceContext& device, const Conv2dParams& p, const GradSlices& slices, const float* x,
                        const Source& grad, GradOutput grad_w, GradOutput grad_b, float* partials) {
  const ConvShape s = forward_shape(p);
  const GradTargets to{p.filter_size(), p.K, grad_w, grad_b};
  if (slices.slices() > kMaxSlices) return absl::InternalError("conv2d: more gradient slices than kernels can add");
  const int target = chunk_target_of(s);
  const SliceTable table = slice_table(slices, slot_count(slices, target), target);
  LOCKSTEP_RETURN_IF_ERROR(chunk_gradients(device, s, math_for(device, s.C), table, x, grad, partials, to.stride()));
  return sum_partials(device, slices, to, table, partials);
}

}  // namespace lockstep::cuda
