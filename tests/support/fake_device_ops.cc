// SPDX-License-Identifier: Apache-2.0
// Arguments are captured by value: an operator's parameters may be gone when the work runs.
#include "tests/support/fake_device.h"

namespace lockstep {
namespace {

const KernelContext kOnHost{.backend = Backend::kRef};

template <typename Work>
absl::Status enqueue(const KernelContext& ctx, Work work) {
  return FakeDevice::enqueue(ctx.device->stream, std::move(work));
}

DropoutParams now(DropoutParams p, const StepScalars* scalars) {
  if (scalars != nullptr) p.step = scalars->step;
  return p;
}

AdamParams now(AdamParams p, const StepScalars* scalars) {
  if (scalars == nullptr) return p;
  p.learning_rate = scalars->learning_rate;
  p.beta1_power = scalars->beta1_power;
  p.beta2_power = scalars->beta2_power;
  return p;
}

void set_convolution(DeviceOps* ops) {
  using Ctx = KernelContext;
  using P = Conv2dParams;
  ops->conv2d_fwd = [](const Ctx& ctx, const P& p, const float* x, const float* w, const float* b, float* y) {
    return enqueue(ctx, [=] { return ref::conv2d_fwd(kOnHost, p, x, w, b, y); });
  };
  ops->conv2d_bwd_data = [](const Ctx& ctx, const P& p, const float* w, const float* y, const float* grad_y,
                            float* grad_x) {
    return enqueue(ctx, [=] { return ref::conv2d_bwd_data(kOnHost, p, w, y, grad_y, grad_x); });
  };
  ops->conv2d_bwd_filter = [](const Ctx& ctx, const P& p, const GradSlices& slices, const float* x, const float* y,
                              const float* grad_y, GradOutput grad_w, GradOutput grad_b) {
    return enqueue(ctx, [=] { return ref::conv2d_bwd_filter(kOnHost, p, slices, x, y, grad_y, grad_w, grad_b); });
  };
  ops->conv2d_pool_fwd = [](const Ctx& ctx, const P& p, const Pool2dParams& pool, const float* x, const float* w,
                            const float* b, float* y, uint8_t* argmax) {
    return enqueue(ctx, [=] { return ref::conv2d_pool_fwd(kOnHost, p, pool, x, w, b, y, argmax); });
  };
  ops->conv2d_pool_bwd_data = [](const Ctx& ctx, const P& p, const Pool2dParams& pool, const float* w, const float* y,
                                 const uint8_t* argmax, const float* grad_y, float* grad_x) {
    return enqueue(ctx, [=] { return ref::conv2d_pool_bwd_data(kOnHost, p, pool, w, y, argmax, grad_y, grad_x); });
  };
  ops->conv2d_pool_bwd_filter = [](const Ctx& ctx, const P& p, const Pool2dParams& pool, const GradSlices& slices,
                                   const float* x, const float* y, const uint8_t* argmax, const float* grad_y,
                                   GradOutput grad_w, GradOutput grad_b) {
    return enqueue(ctx, [=] {
      return ref::conv2d_pool_bwd_filter(kOnHost, p, pool, slices, x, y, argmax, grad_y, grad_w, grad_b);
    });
  };
  ops->pool2d_max_fwd = [](const Ctx& ctx, const Pool2dParams& p, const float* x, float* y, uint8_t* argmax) {
    return enqueue(ctx, [=] { return ref::pool2d_max_fwd(kOnHost, p, x, y, argmax); });
  };
  ops->pool2d_max_bwd = [](const Ctx& ctx, const Pool2dParams& p, const uint8_t* argmax, const float* grad_y,
                           float* grad_x) {
    return enqueue(ctx, [=] { return ref::pool2d_max_bwd(kOnHost, p, argmax, grad_y, grad_x); });
  };
}

void set_dense(DeviceOps* ops) {
  using Ctx = KernelContext;
  ops->dense_fwd = [](const Ctx& ctx, const DenseParams& p, const float* x, const float* w, const float* b, float* y) {
    return enqueue(ctx, [=] { return ref::dense_fwd(kOnHost, p, x, w, b, y); });
  };
  ops->dense_bwd_data = [](const Ctx& ctx, const DenseParams& p, const float* w, const float* y, const float* grad_y,
                           float* grad_x) {
    return enqueue(ctx, [=] { return ref::dense_bwd_data(kOnHost, p, w, y, grad_y, grad_x); });
  };
  ops->dense_bwd_filter = [](const Ctx& ctx, const DenseParams& p, const GradSlices& slices, const float* x,
                             const float* y, const float* grad_y, GradOutput grad_w, GradOutput grad_b) {
    return enqueue(ctx, [=] { return ref::dense_bwd_filter(kOnHost, p, slices, x, y, grad_y, grad_w, grad_b); });
  };
}

void set_elementwise(DeviceOps* ops) {
  using Ctx = KernelContext;
  ops->dropout_fwd = [](const Ctx& ctx, const DropoutParams& p, const float* x, float* y) {
    const StepScalars* const scalars = ctx.device->step_scalars;
    return enqueue(ctx, [=] { return ref::dropout_fwd(kOnHost, now(p, scalars), x, y); });
  };
  ops->dropout_bwd = [](const Ctx& ctx, const DropoutParams& p, const float* grad_y, float* grad_x) {
    const StepScalars* const scalars = ctx.device->step_scalars;
    return enqueue(ctx, [=] { return ref::dropout_bwd(kOnHost, now(p, scalars), grad_y, grad_x); });
  };
  ops->softmax_xent = [](const Ctx& ctx, const SoftmaxXentParams& p, const float* logits, const int32_t* labels,
                         float* loss, float* probabilities, float* grad_logits) {
    return enqueue(ctx,
                   [=] { return ref::softmax_xent(kOnHost, p, logits, labels, loss, probabilities, grad_logits); });
  };
  ops->softmax = [](const Ctx& ctx, int64_t N, int C, const float* logits, float* probabilities) {
    return enqueue(ctx, [=] { return ref::softmax(kOnHost, N, C, logits, probabilities); });
  };
  ops->adam_update = [](const Ctx& ctx, const AdamParams& p, int64_t count, std::span<const GradTerm> terms, float* m,
                        float* v, float* w) {
    const StepScalars* const scalars = ctx.device->step_scalars;
    const std::vector<GradTerm> kept(terms.begin(), terms.end());
    return enqueue(ctx, [=] { return ref::adam_update(kOnHost, now(p, scalars), count, kept, m, v, w); });
  };
  ops->scale_images = [](const Ctx& ctx, int64_t count, const uint8_t* bytes, float* x) {
    return enqueue(ctx, [=] { return ref::scale_images(kOnHost, count, bytes, x); });
  };
}

}  // namespace

const DeviceOps& fake_device_ops() {
  static const DeviceOps ops = [] {
    DeviceOps made;
    set_convolution(&made);
    set_dense(&made);
    set_elementwise(&made);
    return made;
  }();
  return ops;
}

}  // namespace lockstep
