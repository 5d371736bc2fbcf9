// SPDX-License-Identifier: Apache-2.0
#include "core/nn/model.h"

#include <algorithm>
#include <cmath>

#include "kernels/softmax_xent/softmax_xent.h"

namespace lockstep {
namespace {

int64_t align_up(int64_t n) { return (n + 63) / 64 * 64; }

// Sizes of everything a model allocates, for `capacity` examples.
struct Plan {
  std::vector<int64_t> output_offset, kept_offset;
  int64_t activation_floats = 0, kept_bytes = 0, grad_floats = 0;
};

Plan make_plan(const Network& network, int64_t capacity, ModelUse use) {
  Plan plan;
  plan.activation_floats = align_up(capacity * network.input().size());
  int64_t previous = 0;
  for (int i = 0; i < network.layer_count(); ++i) {
    const Layer& layer = *network.layers()[static_cast<size_t>(i)];
    if (!layer.in_place()) {
      previous = plan.activation_floats;
      plan.activation_floats += align_up(capacity * layer.output().size());
    }
    plan.output_offset.push_back(previous);
    plan.kept_offset.push_back(plan.kept_bytes);
    plan.kept_bytes += align_up(capacity * layer.kept_bytes());
    if (i >= network.first_trained_layer()) {
      plan.grad_floats = std::max(plan.grad_floats, align_up(capacity * layer.output().size()));
    }
  }
  if (use == ModelUse::kInference) plan.grad_floats = 0;
  return plan;
}

bool all_finite(const float* x, int64_t n) {
  return std::all_of(x, x + n, [](float v) { return std::isfinite(v); });
}

}  // namespace

int64_t Model::memory_bytes(const Network& network, int64_t capacity, ModelUse use) {
  const Plan plan = make_plan(network, capacity, use);
  return (plan.activation_floats + 2 * plan.grad_floats) * static_cast<int64_t>(sizeof(float)) + plan.kept_bytes;
}

Model::Model(const Network& network, int64_t capacity, ModelUse use) : network_(network), capacity_(capacity) {
  Plan plan = make_plan(network, capacity, use);
  activations_ = AlignedBuffer<float>(static_cast<size_t>(plan.activation_floats));
  kept_ = AlignedBuffer<uint8_t>(static_cast<size_t>(plan.kept_bytes));
  for (auto& grads : grads_) grads = AlignedBuffer<float>(static_cast<size_t>(plan.grad_floats));
  output_offset_ = std::move(plan.output_offset);
  kept_offset_ = std::move(plan.kept_offset);
  for (int i = 0; i < network.layer_count(); ++i) {
    const Layer& layer = *network.layers()[static_cast<size_t>(i)];
    const int gradients = i < network.first_trained_layer() ? 0 : i == network.first_trained_layer() ? 1 : 2;
    times_.layers.push_back({layer.name(), layer.flops(), layer.flops() * gradients});
  }
}

void Model::load_images(const KernelContext& kernel, const uint8_t* images, int64_t examples) {
  const int64_t size = network_.input().size();
  parallel_for(kernel.pool, examples, [&](int64_t n, int) {
    const uint8_t* from = images + n * size;
    float* to = input() + n * size;
    for (int64_t i = 0; i < size; ++i) to[i] = static_cast<float>(from[i]) * (1.0f / 255);
  });
}

absl::Status Model::forward(const PassContext& pass, const float* weights, LayerHook before_layer) {
  LOCKSTEP_CHECK_LE(pass.examples, capacity_);
  for (int i = 0; i < network_.layer_count(); ++i) {
    const Layer& layer = *network_.layers()[static_cast<size_t>(i)];
    LOCKSTEP_RETURN_IF_ERROR(before_layer(i));
    ScopedTimer timer(&times_.layers[static_cast<size_t>(i)].forward_s);
    const ForwardBuffers buffers{.x = input_of(i),
                                 .y = output_of(i),
                                 .kept = kept_.data() + kept_offset_[static_cast<size_t>(i)],
                                 .weights = weights};
    LOCKSTEP_RETURN_IF_ERROR(annotate(layer.forward(pass, buffers), layer.name() + " forward"));
  }
  return absl::OkStatus();
}

absl::Status Model::loss(const PassContext& pass, const int32_t* labels, float grad_scale, float* losses) {
  ScopedTimer timer(&times_.loss_s);
  const SoftmaxXentParams params{.N = pass.examples, .C = network_.classes(), .grad_scale = grad_scale};
  float* grad_logits = grad_scale != 0 ? grads_[0].data() : nullptr;
  return annotate(softmax_xent(pass.kernel, params, logits(), labels, losses, nullptr, grad_logits), "softmax loss");
}

absl::Status Model::backward(const PassContext& pass, const float* weights, GradOutput gradients,
                             LayerHook after_layer) {
  int current = 0;  // which of grads_ holds the gradient of the layer's output
  for (int i = network_.layer_count() - 1; i >= network_.first_trained_layer(); --i) {
    const Layer& layer = *network_.layers()[static_cast<size_t>(i)];
    const int next = layer.in_place() ? current : 1 - current;
    const bool need_grad_x = i > network_.first_trained_layer();
    {
      ScopedTimer timer(&times_.layers[static_cast<size_t>(i)].backward_s);
      const BackwardBuffers buffers{.x = input_of(i),
                                    .y = output_of(i),
                                    .kept = kept_.data() + kept_offset_[static_cast<size_t>(i)],
                                    .weights = weights,
                                    .grad_y = grads_[current].data(),
                                    .grad_x = need_grad_x ? grads_[next].data() : nullptr,
                                    .gradients = gradients};
      LOCKSTEP_RETURN_IF_ERROR(annotate(layer.backward(pass, buffers), layer.name() + " backward"));
    }
    LOCKSTEP_RETURN_IF_ERROR(after_layer(i));
    current = next;
  }
  return absl::OkStatus();
}

std::string Model::first_nonfinite_layer(int64_t examples) const {
  if (!all_finite(activations_.data(), examples * network_.input().size())) return "input";
  for (int i = 0; i < network_.layer_count(); ++i) {
    const Layer& layer = *network_.layers()[static_cast<size_t>(i)];
    if (!all_finite(output_of(i), examples * layer.output().size())) return layer.name();
  }
  return "";
}

}  // namespace lockstep
