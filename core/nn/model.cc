// SPDX-License-Identifier: Apache-2.0
#include "core/nn/model.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "core/base/thread_pool.h"
#include "kernels/device_ops.h"
#include "kernels/images/images.h"
#include "kernels/softmax_xent/softmax_xent.h"

namespace lockstep {
namespace {

// Packed weights of layers that run group by group, all together: a part of the third-level cache, or each group would
// wait for them from memory.
constexpr size_t kMostGroupedFloats = size_t{2} << 20;

int64_t align_up(int64_t n) { return (n + 63) / 64 * 64; }

bool all_finite(const float* x, int64_t n) {
  return std::all_of(x, x + n, [](float v) { return std::isfinite(v); });
}

// The same for memory of a device, once its stream has come to rest.
absl::StatusOr<bool> all_finite_on(const DeviceContext& context, const float* x, int64_t n) {
  std::vector<float> copy(static_cast<size_t>(n));
  LOCKSTEP_RETURN_IF_ERROR(context.device->copy(copy.data(), x, copy.size() * sizeof(float), context.stream));
  LOCKSTEP_RETURN_IF_ERROR(context.device->synchronize(context.stream));
  return all_finite(copy.data(), n);
}

}  // namespace

// Sizes of everything a model allocates, for `capacity` examples.
struct Model::Plan {
  std::vector<int64_t> output_offset, kept_offset;
  int64_t activation_floats = 0, kept_bytes = 0, grad_floats = 0;
};

Model::Plan Model::make_plan(const Network& network, int64_t capacity, ModelUse use) {
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

int64_t Model::memory_bytes(const Network& network, int64_t capacity, ModelUse use) {
  const Plan plan = make_plan(network, capacity, use);
  return (plan.activation_floats + 2 * plan.grad_floats) * static_cast<int64_t>(sizeof(float)) + plan.kept_bytes;
}

int64_t Model::workspace_bytes(const Network& network, const KernelContext& kernel, const GradSlices& slices,
                               int64_t capacity, absl::FunctionRef<void()> note_progress) {
  const GradSlices whole = GradSlices::single(capacity);
  const auto loss_bytes = kernel.device->ops->softmax_xent_workspace_bytes;
  int64_t most = loss_bytes == nullptr ? 0 : loss_bytes(kernel, capacity, network.classes());
  for (const auto& layer : network.layers()) {
    for (const GradSlices* s : {&slices, &whole}) {
      most = std::max(most, layer->workspace_bytes(kernel, *s));
      note_progress();
    }
  }
  return most;
}

Model::Model(const Network& network, int64_t capacity, const Plan& plan)
    : network_(network), capacity_(capacity), output_offset_(plan.output_offset), kept_offset_(plan.kept_offset) {
  for (int i = 0; i < network.layer_count(); ++i) {
    const Layer& layer = *network.layers()[static_cast<size_t>(i)];
    const int gradients = i < network.first_trained_layer() ? 0 : i == network.first_trained_layer() ? 1 : 2;
    times_.layers.push_back({layer.name(), layer.flops(), layer.flops() * gradients});
  }
}

Model::Model(const Network& network, int64_t capacity, ModelUse use)
    : Model(network, capacity, make_plan(network, capacity, use)) {
  const Plan plan = make_plan(network, capacity, use);
  activations_ = MemoryBuffer<float>(static_cast<size_t>(plan.activation_floats));
  kept_ = MemoryBuffer<uint8_t>(static_cast<size_t>(plan.kept_bytes));
  for (auto& grads : grads_) grads = MemoryBuffer<float>(static_cast<size_t>(plan.grad_floats));
}

absl::StatusOr<std::unique_ptr<Model>> Model::create_on(Device& device, const Network& network, int64_t capacity,
                                                        ModelUse use) {
  const Plan plan = make_plan(network, capacity, use);
  std::unique_ptr<Model> model(new Model(network, capacity, plan));
  LOCKSTEP_ASSIGN_OR_RETURN(model->activations_,
                            MemoryBuffer<float>::allocate(&device, static_cast<size_t>(plan.activation_floats)));
  LOCKSTEP_ASSIGN_OR_RETURN(model->kept_,
                            MemoryBuffer<uint8_t>::allocate(&device, static_cast<size_t>(plan.kept_bytes)));
  for (auto& grads : model->grads_) {
    LOCKSTEP_ASSIGN_OR_RETURN(grads, MemoryBuffer<float>::allocate(&device, static_cast<size_t>(plan.grad_floats)));
  }
  return model;
}

absl::Status Model::load_images(const KernelContext& kernel, const uint8_t* images, int64_t examples) {
  return scale_images(kernel, examples * network_.input().size(), images, input());
}

absl::Status Model::pack_weights(const KernelContext& kernel, const float* weights) {
  std::vector<AlignedBuffer<float>> packed;
  for (const auto& layer : network_.layers()) {
    packed.emplace_back(static_cast<size_t>(layer->packed_floats(kernel)));
    if (packed.back().size() > 0) LOCKSTEP_RETURN_IF_ERROR(layer->pack(kernel, weights, packed.back().data()));
  }
  packed_ = std::move(packed);
  packed_weights_ = weights;
  grouped_layers_ = group_ = 0;
  size_t floats = 0;
  for (const auto& layer : network_.layers()) {
    const int group = layer->forward_group(kernel);
    floats += packed_[static_cast<size_t>(grouped_layers_)].size();
    if (group == 0 || floats > kMostGroupedFloats) break;
    group_ = std::max(group_, group);
    ++grouped_layers_;
  }
  return absl::OkStatus();
}

absl::Status Model::run_layer(int i, const PassContext& pass, int64_t first, const float* weights, const float* x,
                              float* y) {
  const Layer& layer = *network_.layers()[static_cast<size_t>(i)];
  const ForwardBuffers buffers{.x = x,
                               .y = y,
                               .kept = kept_.data() + kept_offset_[static_cast<size_t>(i)] + first * layer.kept_bytes(),
                               .weights = weights,
                               .packed = packed_of(i, weights)};
  // The name is put together for an error only: a prediction allocates nothing.
  const absl::Status status = layer.forward(pass, buffers);
  return status.ok() ? status : annotate(status, layer.name() + " forward");
}

absl::Status Model::forward_groups(const EvenGroups& groups, const PassContext& pass, const float* weights) {
  ScopedTimer timer(&times_.layers[0].forward_s);
  ThreadPool* const pool = pass.kernel.pool;
  // Outputs that only the next layer reads go where the thread's last group had them, which is still in the cache:
  // several groups a thread leave room for that.
  const bool reuse = groups.groups() > thread_count(pool);
  std::mutex mutex;
  absl::Status failed;
  parallel_for(pool, groups.groups(), [&](int64_t g, int thread) {
    PassContext part = pass;
    part.kernel.pool = nullptr;
    part.examples = groups.size(g);
    const int64_t first = groups.begin(g), place = reuse ? thread * groups.most() : first;
    float* x = input() + first * network_.input().size();
    for (int i = 0; i < grouped_layers_; ++i) {
      const Layer& layer = *network_.layers()[static_cast<size_t>(i)];
      const bool is_read_later = output_of(i) == output_of(grouped_layers_ - 1);
      float* const y = layer.in_place() ? x : output_of(i) + (is_read_later ? first : place) * layer.output().size();
      const absl::Status status = run_layer(i, part, first, weights, x, y);
      if (!status.ok()) {
        const std::lock_guard lock(mutex);
        failed.Update(status);
        return;
      }
      x = y;
    }
  });
  return failed;
}

absl::Status Model::forward(const PassContext& pass, const float* weights, LayerHook before_layer) {
  LOCKSTEP_CHECK_LE(pass.examples, capacity_);
  LOCKSTEP_CHECK(!pass.training || !is_packed(weights));
  int next = 0;
  if (is_packed(weights) && grouped_layers_ > 1) {
    const EvenGroups groups(pass.examples, group_, thread_count(pass.kernel.pool));
    // Fewer groups than threads would leave some without a part in the layers that can be cut finer.
    const int64_t fewest = std::min<int64_t>(thread_count(pass.kernel.pool), pass.examples);
    if (groups.groups() > 1 && groups.groups() >= fewest) {
      for (; next < grouped_layers_; ++next) LOCKSTEP_RETURN_IF_ERROR(before_layer(next));
      LOCKSTEP_RETURN_IF_ERROR(forward_groups(groups, pass, weights));
    }
  }
  for (; next < network_.layer_count(); ++next) {
    LOCKSTEP_RETURN_IF_ERROR(before_layer(next));
    ScopedTimer timer(&times_.layers[static_cast<size_t>(next)].forward_s);
    LOCKSTEP_RETURN_IF_ERROR(run_layer(next, pass, 0, weights, input_of(next), output_of(next)));
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
                             const std::vector<bool>& give_operands, LayerHook after_layer) {
  LOCKSTEP_CHECK(packed_.empty());
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
                                    .gradients = gradients,
                                    .give_operands = !give_operands.empty() && give_operands[static_cast<size_t>(i)]};
      LOCKSTEP_RETURN_IF_ERROR(annotate(layer.backward(pass, buffers), layer.name() + " backward"));
    }
    LOCKSTEP_RETURN_IF_ERROR(after_layer(i));
    current = next;
  }
  return absl::OkStatus();
}

absl::Status Model::update(int i, const PassContext& pass, const UpdateBuffers& buffers) {
  const Layer& layer = *network_.layers()[static_cast<size_t>(i)];
  ScopedTimer timer(&times_.layers[static_cast<size_t>(i)].update_s);
  return annotate(layer.update(pass, buffers), layer.name() + " update");
}

absl::StatusOr<std::string> Model::first_nonfinite_layer(const KernelContext& kernel, int64_t examples) const {
  LOCKSTEP_CHECK(packed_.empty());
  const auto finite = [&](const float* x, int64_t n) -> absl::StatusOr<bool> {
    return is_device(kernel.backend) ? all_finite_on(*kernel.device, x, n) : all_finite(x, n);
  };
  LOCKSTEP_ASSIGN_OR_RETURN(const bool input_finite, finite(activations_.data(), examples * network_.input().size()));
  if (!input_finite) return "input";
  for (int i = 0; i < network_.layer_count(); ++i) {
    const Layer& layer = *network_.layers()[static_cast<size_t>(i)];
    LOCKSTEP_ASSIGN_OR_RETURN(const bool output_finite, finite(output_of(i), examples * layer.output().size()));
    if (!output_finite) return layer.name();
  }
  return "";
}

}  // namespace lockstep
