// SPDX-License-Identifier: Apache-2.0
// Loops of the SIMD convolution over images, slices and threads; conv2d_algorithm.h does a few images, or a
// slice, at a time.
#include <algorithm>

#include "core/base/even_groups.h"
#include "kernels/conv2d/conv2d_algorithm.h"
#include "kernels/conv2d/conv2d_impl.h"
#include "kernels/scratch.h"
#include "kernels/tree_sum.h"

namespace lockstep::simd {
namespace {

ConvAlgorithm algorithm_for(const Conv2dParams& p) {
  switch (conv_way(p)) {
    case ConvWay::kFft:
      return conv_fft();
    case ConvWay::kWinograd:
      return conv_winograd();
    case ConvWay::kDirect:
      break;
  }
  return conv_direct();
}

void pack_filter(const KernelContext& ctx, const ConvAlgorithm& algorithm, const Conv2dParams& p, bool turned,
                 const float* w, float* packed) {
  parallel_for(ctx.pool, algorithm.pack_units(p, turned),
               [&](int64_t unit, int) { algorithm.pack(p, turned, w, static_cast<int>(unit), packed); });
}

// Into scratch.
const float* pack_filter(const KernelContext& ctx, const ConvAlgorithm& algorithm, const Conv2dParams& p, bool turned,
                         const float* w) {
  float* packed = scratch(kFilterSlot, static_cast<size_t>(algorithm.packed_floats(p, turned)));
  pack_filter(ctx, algorithm, p, turned, w, packed);
  return packed;
}

// Calls task(first image, images) for groups of at most `group` images.
template <typename Task>
void for_image_groups(const KernelContext& ctx, int64_t images, int group, const Task& task) {
  const EvenGroups groups(images, group, thread_count(ctx.pool));
  parallel_for(ctx.pool, groups.groups(),
               [&](int64_t i, int) { task(groups.begin(i), static_cast<int>(groups.size(i))); });
}

absl::Status forward_packed(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams* pool, const float* x,
                            const float* packed, const float* b, float* y, uint8_t* argmax) {
  const int64_t in = int64_t{p.H} * p.W * p.C;
  const int64_t out = pool == nullptr ? int64_t{p.OH()} * p.OW() * p.K : int64_t{pool->OH()} * pool->OW() * p.K;
  const ConvAlgorithm algorithm = algorithm_for(p);
  for_image_groups(ctx, p.N, algorithm.group, [&](int64_t n, int images) {
    algorithm.fwd(p, pool, images, x + n * in, packed, b, y + n * out, offset_or_null(argmax, n * out));
  });
  return absl::OkStatus();
}

absl::Status forward(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams* pool, const float* x,
                     const float* w, const float* b, float* y, uint8_t* argmax) {
  return forward_packed(ctx, p, pool, x, pack_filter(ctx, algorithm_for(p), p, false, w), b, y, argmax);
}

absl::Status backward_data(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams* pool, const float* w,
                           const ConvGradSource& grad, float* grad_x) {
  const ConvAlgorithm algorithm = algorithm_for(p);
  const float* packed = pack_filter(ctx, algorithm, p, true, w);
  for_image_groups(ctx, p.N, algorithm.group, [&](int64_t n, int images) {
    algorithm.bwd_data(p, pool, images, packed, grad_of_image(p, pool, grad, n), grad_x + n * p.H * p.W * p.C);
  });
  return absl::OkStatus();
}

// Gradients of the slices side by side, filter then bias. A slice is one task, or several when there are fewer slices
// than threads; each walks the slice's images in order, so no sum depends on the split. `data`: see bwd_filter.
void slice_grads(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams* pool, const GradSlices& slices,
                 const float* x, const ConvGradSource& grad, const SliceTerms& out, const ConvDataGrad* data) {
  const ConvAlgorithm algorithm = algorithm_for(p);
  const int units = algorithm.filter_units(p);
  const int parts = std::clamp((thread_count(ctx.pool) + slices.slices() - 1) / slices.slices(), 1, units);
  parallel_for(ctx.pool, int64_t{slices.slices()} * parts, [&](int64_t task, int) {
    const auto slice = static_cast<size_t>(task / parts);
    const int index = static_cast<int>(task % parts);
    const int64_t begin = slices.offsets[slice], image = int64_t{p.H} * p.W * p.C;
    const ConvDataGrad of_slice =
        data == nullptr ? ConvDataGrad{} : ConvDataGrad{data->packed, data->grad_x + begin * image};
    float* grad_w = out.data + static_cast<int64_t>(slice) * out.stride;
    algorithm.bwd_filter(p, pool, {index * units / parts, (index + 1) * units / parts},
                         slices.offsets[slice + 1] - begin, x + begin * image, grad_of_image(p, pool, grad, begin),
                         grad_w, grad_w + p.filter_size(), data == nullptr ? nullptr : &of_slice);
  });
}

absl::Status backward_filter(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams* pool,
                             const GradSlices& slices, const float* x, const ConvGradSource& grad, GradOutput grad_w,
                             GradOutput grad_b, const ConvDataGrad* data = nullptr) {
  const int64_t stride = (p.filter_size() + p.K + 15) / 16 * 16;
  const SliceTerms terms{scratch(kSlicesSlot, static_cast<size_t>(slices.slices() * stride)), stride};
  slice_grads(ctx, p, pool, slices, x, grad, terms, data);
  sum_slices(ctx, slices, terms, p.filter_size(), grad_w);
  sum_slices(ctx, slices, {terms.data + p.filter_size(), stride}, p.K, grad_b);
  return absl::OkStatus();
}

// Both gradients: in one go where they have work in common and there is a slice for each thread.
absl::Status backward(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams* pool,
                      const GradSlices& slices, const float* x, const float* w, const ConvGradSource& grad,
                      GradOutput grad_w, GradOutput grad_b, float* grad_x) {
  const ConvAlgorithm algorithm = algorithm_for(p);
  if (algorithm.shares_work && slices.slices() >= thread_count(ctx.pool)) {
    const ConvDataGrad data{pack_filter(ctx, algorithm, p, true, w), grad_x};
    return backward_filter(ctx, p, pool, slices, x, grad, grad_w, grad_b, &data);
  }
  LOCKSTEP_RETURN_IF_ERROR(backward_filter(ctx, p, pool, slices, x, grad, grad_w, grad_b));
  return backward_data(ctx, p, pool, w, grad, grad_x);
}

}  // namespace

absl::Status conv2d_fwd(const KernelContext& ctx, const Conv2dParams& p, const float* x, const float* w, const float* b,
                        float* y) {
  return forward(ctx, p, nullptr, x, w, b, y, nullptr);
}

int64_t conv2d_packed_floats(const Conv2dParams& p) { return algorithm_for(p).packed_floats(p, false); }

int conv2d_packed_group(const Conv2dParams& p) { return algorithm_for(p).group; }

absl::Status conv2d_pack(const KernelContext& ctx, const Conv2dParams& p, const float* w, float* packed) {
  pack_filter(ctx, algorithm_for(p), p, false, w, packed);
  return absl::OkStatus();
}

absl::Status conv2d_fwd_packed(const KernelContext& ctx, const Conv2dParams& p, const float* x, const float* packed,
                               const float* b, float* y) {
  return forward_packed(ctx, p, nullptr, x, packed, b, y, nullptr);
}

absl::Status conv2d_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const float* w, const float* y,
                             const float* grad_y, float* grad_x) {
  return backward_data(ctx, p, nullptr, w, {y, nullptr, grad_y}, grad_x);
}

absl::Status conv2d_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const GradSlices& slices,
                               const float* x, const float* y, const float* grad_y, GradOutput grad_w,
                               GradOutput grad_b) {
  return backward_filter(ctx, p, nullptr, slices, x, {y, nullptr, grad_y}, grad_w, grad_b);
}

absl::Status conv2d_pool_fwd(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool, const float* x,
                             const float* w, const float* b, float* y, uint8_t* argmax) {
  return forward(ctx, p, &pool, x, w, b, y, argmax);
}

absl::Status conv2d_pool_fwd_packed(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                    const float* x, const float* packed, const float* b, float* y) {
  return forward_packed(ctx, p, &pool, x, packed, b, y, nullptr);
}

absl::Status conv2d_pool_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                  const float* w, const float* y, const uint8_t* argmax, const float* grad_y,
                                  float* grad_x) {
  return backward_data(ctx, p, &pool, w, {y, argmax, grad_y}, grad_x);
}

absl::Status conv2d_pool_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                    const GradSlices& slices, const float* x, const float* y, const uint8_t* argmax,
                                    const float* grad_y, GradOutput grad_w, GradOutput grad_b) {
  return backward_filter(ctx, p, &pool, slices, x, {y, argmax, grad_y}, grad_w, grad_b);
}

absl::Status conv2d_bwd(const KernelContext& ctx, const Conv2dParams& p, const GradSlices& slices, const float* x,
                        const float* w, const float* y, const float* grad_y, GradOutput grad_w, GradOutput grad_b,
                        float* grad_x) {
  return backward(ctx, p, nullptr, slices, x, w, {y, nullptr, grad_y}, grad_w, grad_b, grad_x);
}

absl::Status conv2d_pool_bwd(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                             const GradSlices& slices, const float* x, const float* w, const float* y,
                             const uint8_t* argmax, const float* grad_y, GradOutput grad_w, GradOutput grad_b,
                             float* grad_x) {
  return backward(ctx, p, &pool, slices, x, w, {y, argmax, grad_y}, grad_w, grad_b, grad_x);
}

}  // namespace lockstep::simd
