// SPDX-License-Identifier: Apache-2.0
// The operators of conv2d.h through cuDNN: it convolves; what the contract wants around that (filters in another order,
// bias, ReLU, pool, slices and their tree) are kernels of ours before and behind it. cuDNN could fuse bias and ReLU,
// but does not promise that a NaN comes through. A convolution that cuDNN has no allowed engine for runs on our own
// kernels.
#include <algorithm>
#include <cstdint>

#include "kernels/conv2d/conv2d_algorithm.h"
#include "kernels/conv2d/conv2d_cudnn_engine.h"
#include "kernels/conv2d/conv2d_cudnn_plan.h"
#include "kernels/conv2d/conv2d_cudnn_steps.h"
#include "kernels/conv2d/conv2d_impl.h"
#include "kernels/pool2d/pool2d_impl.h"
#include "kernels/tree_sum_cuda.h"

namespace lockstep::cudnn {
namespace {

int64_t in_size(const Conv2dParams& p) { return p.N * p.H * p.W * p.C; }
int64_t out_size(const Conv2dParams& p) { return p.N * p.OH() * p.OW() * p.K; }
int64_t out_size(const Pool2dParams& p) { return p.N * p.OH() * p.OW() * p.C; }

EngineRules rules_of(const DeviceContext& device, const Conv2dParams& p) {
  return {device.tensor_cores, conv_way(p) != ConvWay::kDirect};
}

// Unimplemented: our kernel has to do it.
absl::StatusOr<const ConvPlan*> plan_of(const DeviceContext& device, const CudnnUse& use, ConvPass pass,
                                        const Conv2dParams& p) {
  return conv_plan(use, conv_task(pass, p), rules_of(device, p));
}

// Plans are for arrays that start at multiples of 16 bytes, as a model's do, where images keep that; others are left to
// our kernels, which take any.
bool fit(const Conv2dParams& p, std::initializer_list<const void*> arrays) {
  const auto alignment = static_cast<uintptr_t>(alignment_of(p));
  return std::all_of(arrays.begin(), arrays.end(),
                     [=](const void* array) { return reinterpret_cast<uintptr_t>(array) % alignment == 0; });
}

Conv2dParams with_examples(Conv2dParams p, int64_t examples) {
  p.N = examples;
  return p;
}

// Examples of slice s.
int64_t slice_size(const GradSlices& slices, int s) {
  return slices.offsets[static_cast<size_t>(s) + 1] - slices.offsets[static_cast<size_t>(s)];
}

// The workspace of the plans for all slices' sizes; an error where one of them has no plan.
absl::StatusOr<int64_t> filter_plan_bytes(const DeviceContext& device, const CudnnUse& use, const Conv2dParams& p,
                                          const GradSlices& slices) {
  int64_t most = 0;
  for (int s = 0; s < slices.slices(); ++s) {
    if (slice_size(slices, s) == 0) continue;
    const Conv2dParams of_slice = with_examples(p, slice_size(slices, s));
    LOCKSTEP_ASSIGN_OR_RETURN(const ConvPlan* const plan, plan_of(device, use, ConvPass::kFilterGrad, of_slice));
    most = std::max(most, plan->workspace_bytes);
  }
  return most;
}

// ---- What each pass keeps in the workspace.

struct FilterScratch {
  float* filter;  // KRSC
  void* plan;
};
FilterScratch filter_scratch(ScratchSpace& space, const Conv2dParams& p, int64_t plan_bytes) {
  return {space.take<float>(p.filter_size()), space.take<char>(plan_bytes)};
}

struct FilterGradScratch {
  float* partials;  // (slices, KRSC)
  float* sums;      // (subtrees, KRSC)
  float* bias;
  void* plan;
};
FilterGradScratch filter_grad_scratch(ScratchSpace& space, const Conv2dParams& p, const GradSlices& slices,
                                      int64_t plan_bytes) {
  return {space.take<float>(slices.slices() * p.filter_size()),
          space.take<float>(static_cast<int64_t>(slices.subtrees.size()) * p.filter_size()),
          space.take<float>(cuda::bias_gradient_scratch(slices, p.K)), space.take<char>(plan_bytes)};
}

// The gradient at the convolution's sums, where it is not grad_y itself.
struct GradScratch {
  float* pooled = nullptr;  // masked by the ReLU, before it is spread over the pool's windows
  float* full = nullptr;
};
GradScratch grad_scratch(ScratchSpace& space, const Conv2dParams& p, const Pool2dParams* pool) {
  GradScratch scratch;
  if (pool != nullptr && p.relu) scratch.pooled = space.take<float>(out_size(*pool));
  if (pool != nullptr || p.relu) scratch.full = space.take<float>(out_size(p));
  return scratch;
}

absl::Status check_workspace(const DeviceContext& device, const ScratchSpace& space) {
  if (static_cast<int64_t>(device.workspace_bytes) >= space.used()) return absl::OkStatus();
  return absl::InternalError("conv2d: the workspace is smaller than conv2d_workspace_bytes() says");
}

// ---- The passes.

// y = the convolution's sums, with bias and ReLU.
absl::Status forward(const DeviceContext& device, const CudnnUse& use, const ConvPlan& plan, const Conv2dParams& p,
                     ScratchSpace& space, const float* x, const float* w, const float* b, float* y) {
  const FilterScratch scratch = filter_scratch(space, p, plan.workspace_bytes);
  LOCKSTEP_RETURN_IF_ERROR(check_workspace(device, space));
  LOCKSTEP_RETURN_IF_ERROR(cuda::transpose(device, w, p.filter_size() / p.K, p.K, scratch.filter));
  const ConvTask task = conv_task(ConvPass::kForward, p);
  LOCKSTEP_RETURN_IF_ERROR(run(use, plan, task, {x, scratch.filter, y}, scratch.plan));
  return cuda::add_bias(device, out_size(p) / p.K, p.K, b, p.relu, y);
}

// The gradient that arrives at the convolution's sums.
struct ArrivingGrad {
  const float* y;         // output, for the ReLU's mask
  const uint8_t* argmax;  // with a pool
  const float* grad_y;
};
absl::StatusOr<const float*> at_sums(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams* pool,
                                     const GradScratch& scratch, const ArrivingGrad& grad) {
  if (pool == nullptr) {
    if (!p.relu) return grad.grad_y;
    LOCKSTEP_RETURN_IF_ERROR(cuda::mask_by_relu(*ctx.device, out_size(p), grad.y, grad.grad_y, scratch.full));
    return scratch.full;
  }
  const float* arriving = grad.grad_y;
  if (p.relu) {
    LOCKSTEP_RETURN_IF_ERROR(cuda::mask_by_relu(*ctx.device, out_size(*pool), grad.y, grad.grad_y, scratch.pooled));
    arriving = scratch.pooled;
  }
  LOCKSTEP_RETURN_IF_ERROR(cuda::pool2d_max_bwd(ctx, *pool, grad.argmax, arriving, scratch.full));
  return scratch.full;
}

absl::Status bwd_data(const KernelContext& ctx, const CudnnUse& use, const ConvPlan& plan, const Conv2dParams& p,
                      const Pool2dParams* pool, const float* w, const ArrivingGrad& arriving, float* grad_x) {
  ScratchSpace space(ctx.device->workspace);
  const GradScratch scratch = grad_scratch(space, p, pool);
  const FilterScratch filter = filter_scratch(space, p, plan.workspace_bytes);
  LOCKSTEP_RETURN_IF_ERROR(check_workspace(*ctx.device, space));
  LOCKSTEP_ASSIGN_OR_RETURN(const float* const grad, at_sums(ctx, p, pool, scratch, arriving));
  LOCKSTEP_RETURN_IF_ERROR(cuda::transpose(*ctx.device, w, p.filter_size() / p.K, p.K, filter.filter));
  const ConvTask task = conv_task(ConvPass::kInputGrad, p);
  return run(use, plan, task, {grad_x, filter.filter, grad}, filter.plan);
}

// The gradient of each slice, KRSC, behind each other.
absl::Status slice_gradients(const DeviceContext& device, const CudnnUse& use, const Conv2dParams& p,
                             const GradSlices& slices, const float* x, const float* grad,
                             const FilterGradScratch& scratch) {
  for (int s = 0; s < slices.slices(); ++s) {
    float* const partial = scratch.partials + s * p.filter_size();
    const Conv2dParams of_slice = with_examples(p, slice_size(slices, s));
    if (of_slice.N == 0) {
      const auto bytes = static_cast<size_t>(p.filter_size()) * sizeof(float);
      LOCKSTEP_RETURN_IF_ERROR(device.device->fill_zero(partial, bytes, device.stream));
      continue;
    }
    const int64_t first = slices.offsets[static_cast<size_t>(s)] - slices.offsets[0];
    const ConvTask task = conv_task(ConvPass::kFilterGrad, of_slice);
    LOCKSTEP_ASSIGN_OR_RETURN(const ConvPlan* const plan, conv_plan(use, task, rules_of(device, p)));
    const ConvArrays arrays{x + first * (in_size(p) / p.N), partial, grad + first * (out_size(p) / p.N)};
    LOCKSTEP_RETURN_IF_ERROR(run(use, *plan, task, arrays, scratch.plan));
  }
  return absl::OkStatus();
}

absl::Status bwd_filter(const KernelContext& ctx, const CudnnUse& use, int64_t plan_bytes, const Conv2dParams& p,
                        const Pool2dParams* pool, const GradSlices& slices, const float* x,
                        const ArrivingGrad& arriving, const GradOutput& grad_w, const GradOutput& grad_b) {
  ScratchSpace space(ctx.device->workspace);
  const GradScratch grad_space = grad_scratch(space, p, pool);
  const FilterGradScratch scratch = filter_grad_scratch(space, p, slices, plan_bytes);
  LOCKSTEP_RETURN_IF_ERROR(check_workspace(*ctx.device, space));
  LOCKSTEP_ASSIGN_OR_RETURN(const float* const grad, at_sums(ctx, p, pool, grad_space, arriving));
  LOCKSTEP_RETURN_IF_ERROR(slice_gradients(*ctx.device, use, p, slices, x, grad, scratch));
  const int64_t size = p.filter_size();
  LOCKSTEP_RETURN_IF_ERROR(cuda::sum_slices(ctx, slices, {scratch.partials, size}, size, {scratch.sums, size}));
  for (size_t t = 0; t < slices.subtrees.size(); ++t) {
    const auto tree = static_cast<int64_t>(t);
    LOCKSTEP_RETURN_IF_ERROR(
        cuda::transpose(*ctx.device, scratch.sums + tree * size, p.K, size / p.K, grad_w.data + tree * grad_w.stride));
  }
  return cuda::bias_gradient(ctx, slices, int64_t{p.OH()} * p.OW(), p.K, grad, scratch.bias, grad_b);
}

// The workspace that cuDNN's part of the operators needs; an error where a pass runs on our kernels.
absl::StatusOr<int64_t> forward_bytes(const DeviceContext& device, const CudnnUse& use, const Conv2dParams& p,
                                      const Pool2dParams* pool) {
  LOCKSTEP_ASSIGN_OR_RETURN(const ConvPlan* const plan, plan_of(device, use, ConvPass::kForward, p));
  ScratchSpace space;
  if (pool != nullptr) space.take<float>(out_size(p));
  filter_scratch(space, p, plan->workspace_bytes);
  return space.used();
}
absl::StatusOr<int64_t> bwd_data_bytes(const DeviceContext& device, const CudnnUse& use, const Conv2dParams& p,
                                       const Pool2dParams* pool) {
  LOCKSTEP_ASSIGN_OR_RETURN(const ConvPlan* const plan, plan_of(device, use, ConvPass::kInputGrad, p));
  ScratchSpace space;
  grad_scratch(space, p, pool);
  filter_scratch(space, p, plan->workspace_bytes);
  return space.used();
}
absl::StatusOr<int64_t> bwd_filter_bytes(const DeviceContext& device, const CudnnUse& use, const Conv2dParams& p,
                                         const Pool2dParams* pool, const GradSlices& slices) {
  LOCKSTEP_ASSIGN_OR_RETURN(const int64_t plan_bytes, filter_plan_bytes(device, use, p, slices));
  ScratchSpace space;
  grad_scratch(space, p, pool);
  filter_grad_scratch(space, p, slices, plan_bytes);
  return space.used();
}

}  // namespace

int64_t conv2d_workspace_bytes(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams* pool,
                               const GradSlices& slices) {
  int64_t most = cuda::conv2d_workspace_bytes(ctx, p, pool, slices);
  const auto use = CudnnUse::on(ctx.device->stream);
  if (!use.ok()) return most;  // the operators will say so
  for (const auto& bytes : {forward_bytes(*ctx.device, *use, p, pool), bwd_data_bytes(*ctx.device, *use, p, pool),
                            bwd_filter_bytes(*ctx.device, *use, p, pool, slices)}) {
    most = std::max(most, bytes.ok() ? *bytes : 0);
  }
  return most;
}

absl::Status conv2d_fwd(const KernelContext& ctx, const Conv2dParams& p, const float* x, const float* w, const float* b,
                        float* y) {
  const auto own = [&] { return cuda::conv2d_fwd(ctx, p, x, w, b, y); };
  if (!fit(p, {x, y})) return own();
  LOCKSTEP_ASSIGN_OR_RETURN(const CudnnUse use, CudnnUse::on(ctx.device->stream));
  const auto plan = plan_of(*ctx.device, use, ConvPass::kForward, p);
  if (absl::IsUnimplemented(plan.status())) return own();
  LOCKSTEP_RETURN_IF_ERROR(plan.status());
  ScratchSpace space(ctx.device->workspace);
  return forward(*ctx.device, use, **plan, p, space, x, w, b, y);
}

absl::Status conv2d_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const float* w, const float* y,
                             const float* grad_y, float* grad_x) {
  const auto own = [&] { return cuda::conv2d_bwd_data(ctx, p, w, y, grad_y, grad_x); };
  if (!fit(p, {grad_y, grad_x})) return own();
  LOCKSTEP_ASSIGN_OR_RETURN(const CudnnUse use, CudnnUse::on(ctx.device->stream));
  const auto plan = plan_of(*ctx.device, use, ConvPass::kInputGrad, p);
  if (absl::IsUnimplemented(plan.status())) return own();
  LOCKSTEP_RETURN_IF_ERROR(plan.status());
  return bwd_data(ctx, use, **plan, p, nullptr, w, {y, nullptr, grad_y}, grad_x);
}

absl::Status conv2d_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const GradSlices& slices,
                               const float* x, const float* y, const float* grad_y, GradOutput grad_w,
                               GradOutput grad_b) {
  const auto own = [&] { return cuda::conv2d_bwd_filter(ctx, p, slices, x, y, grad_y, grad_w, grad_b); };
  if (!fit(p, {x, grad_y})) return own();
  LOCKSTEP_ASSIGN_OR_RETURN(const CudnnUse use, CudnnUse::on(ctx.device->stream));
  const auto bytes = filter_plan_bytes(*ctx.device, use, p, slices);
  if (absl::IsUnimplemented(bytes.status())) return own();
  LOCKSTEP_RETURN_IF_ERROR(bytes.status());
  return bwd_filter(ctx, use, *bytes, p, nullptr, slices, x, {y, nullptr, grad_y}, grad_w, grad_b);
}

absl::Status conv2d_pool_fwd(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool, const float* x,
                             const float* w, const float* b, float* y, uint8_t* argmax) {
  const auto own = [&] { return cuda::conv2d_pool_fwd(ctx, p, pool, x, w, b, y, argmax); };
  if (!fit(p, {x})) return own();
  ScratchSpace space(ctx.device->workspace);
  float* const full = space.take<float>(out_size(p));
  LOCKSTEP_ASSIGN_OR_RETURN(const CudnnUse use, CudnnUse::on(ctx.device->stream));
  const auto plan = plan_of(*ctx.device, use, ConvPass::kForward, p);
  if (absl::IsUnimplemented(plan.status())) return own();
  LOCKSTEP_RETURN_IF_ERROR(plan.status());
  LOCKSTEP_RETURN_IF_ERROR(forward(*ctx.device, use, **plan, p, space, x, w, b, full));
  return cudnn::pool2d_max_fwd(ctx, pool, full, y, argmax);
}

absl::Status conv2d_pool_bwd_data(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                  const float* w, const float* y, const uint8_t* argmax, const float* grad_y,
                                  float* grad_x) {
  const auto own = [&] { return cuda::conv2d_pool_bwd_data(ctx, p, pool, w, y, argmax, grad_y, grad_x); };
  if (!fit(p, {grad_x})) return own();
  LOCKSTEP_ASSIGN_OR_RETURN(const CudnnUse use, CudnnUse::on(ctx.device->stream));
  const auto plan = plan_of(*ctx.device, use, ConvPass::kInputGrad, p);
  if (absl::IsUnimplemented(plan.status())) return own();
  LOCKSTEP_RETURN_IF_ERROR(plan.status());
  return bwd_data(ctx, use, **plan, p, &pool, w, {y, argmax, grad_y}, grad_x);
}

absl::Status conv2d_pool_bwd_filter(const KernelContext& ctx, const Conv2dParams& p, const Pool2dParams& pool,
                                    const GradSlices& slices, const float* x, const float* y, const uint8_t* argmax,
                                    const float* grad_y, GradOutput grad_w, GradOutput grad_b) {
  const auto own = [&] {
    return cuda::conv2d_pool_bwd_filter(ctx, p, pool, slices, x, y, argmax, grad_y, grad_w, grad_b);
  };
  if (!fit(p, {x})) return own();
  LOCKSTEP_ASSIGN_OR_RETURN(const CudnnUse use, CudnnUse::on(ctx.device->stream));
  const auto bytes = filter_plan_bytes(*ctx.device, use, p, slices);
  if (absl::IsUnimplemented(bytes.status())) return own();
  LOCKSTEP_RETURN_IF_ERROR(bytes.status());
  return bwd_filter(ctx, use, *bytes, p, &pool, slices, x, {y, argmax, grad_y}, grad_w, grad_b);
}

}  // namespace lockstep::cudnn
