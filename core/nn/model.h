// SPDX-License-Identifier: Apache-2.0
// Runs a network over local batches: owns the activations (allocated once for the whole run), borrows weights and
// gradients. One thread drives it; the operators use the thread pool of the KernelContext.
//
// A model on a device works on device memory throughout: images, labels, losses, weights, gradients and what input()
// and logits() point to. Its passes only enqueue on the stream of the KernelContext, so they may be captured in a
// graph, and its times are those of enqueuing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/base/aligned_buffer.h"
#include "core/base/even_groups.h"
#include "core/base/memory_buffer.h"
#include "core/base/status.h"
#include "core/nn/network.h"
#include "core/nn/step_times.h"

namespace lockstep {

enum class ModelUse { kInference, kTraining };

class Model {
 public:
  // On the host. `network` is borrowed. `capacity`: most examples in one pass.
  Model(const Network& network, int64_t capacity, ModelUse use);
  // On a device, which is borrowed.
  static absl::StatusOr<std::unique_ptr<Model>> create_on(Device& device, const Network& network, int64_t capacity,
                                                          ModelUse use);

  // Bytes that a model of this capacity allocates, without pack_weights.
  static int64_t memory_bytes(const Network& network, int64_t capacity, ModelUse use);
  // Scratch memory (DeviceContext::workspace) that any operator of a training step over `slices`, or of an inference
  // pass over `capacity` examples, needs on a device. cuDNN builds its plans for that, which may take a second a layer:
  // `note_progress` is called at least once for each.
  static int64_t workspace_bytes(const Network& network, const KernelContext& kernel, const GradSlices& slices,
                                 int64_t capacity, absl::FunctionRef<void()> note_progress);

  const Network& network() const { return network_; }
  int64_t capacity() const { return capacity_; }

  // Where the caller puts the input of a pass: (capacity, H, W, C), numbers in [0, 1] for images.
  float* input() { return activations_.data(); }
  // Fills input() from bytes as TensorFlow does: float(x) * (1 / 255).
  absl::Status load_images(const KernelContext& kernel, const uint8_t* images, int64_t examples);

  // Lays the weights out for forward passes with this kernel's backend, once for all that will be given the same
  // pointer; they must not change. Saves each pass the time of doing it, and takes the memory of dense weights again,
  // for convolutions that are transformed 64 or 256 floats for each pair of channels. On the host, and for inference
  // alone: passes with packed weights keep nothing for backward and first_nonfinite_layer, which must not follow.
  absl::Status pack_weights(const KernelContext& kernel, const float* weights);

  // Called with a layer's index before its weights are read, and after its gradients are complete and its weights no
  // longer needed. An error stops the pass and is returned.
  using LayerHook = absl::FunctionRef<absl::Status(int layer)>;

  absl::Status forward(const PassContext& pass, const float* weights, LayerHook before_layer);
  // After forward: (examples, classes).
  const float* logits() const { return output_of(network_.layer_count() - 1); }
  // Loss per example of the last forward pass into `losses` (examples). With grad_scale != 0 also the gradient of the
  // logits times grad_scale, where backward starts.
  absl::Status loss(const PassContext& pass, const int32_t* labels, float grad_scale, float* losses);
  // Layers that are set in `give_operands` write operands instead of gradients (BackwardBuffers); empty: none does.
  absl::Status backward(const PassContext& pass, const float* weights, GradOutput gradients,
                        const std::vector<bool>& give_operands, LayerHook after_layer);
  // Layer::update, timed as a part of the layer's backward.
  absl::Status update(int layer, const PassContext& pass, const UpdateBuffers& buffers);

  // Name of the first layer whose output of the last forward pass holds a non-finite number ("input" for the input
  // itself), or "" when all are finite. Waits for the stream of a device.
  absl::StatusOr<std::string> first_nonfinite_layer(const KernelContext& kernel, int64_t examples) const;

  // Times of the layers and the loss since construction or the last reset. Layers that run group by group, with packed
  // weights, count as the first of them.
  StepTimes& times() { return times_; }

 private:
  struct Plan;
  Model(const Network& network, int64_t capacity, const Plan& plan);
  static Plan make_plan(const Network& network, int64_t capacity, ModelUse use);

  const float* output_of(int layer) const { return activations_.data() + output_offset_[static_cast<size_t>(layer)]; }
  float* output_of(int layer) { return activations_.data() + output_offset_[static_cast<size_t>(layer)]; }
  bool is_packed(const float* weights) const { return packed_weights_ == weights && !packed_.empty(); }
  const float* packed_of(int layer, const float* weights) const {
    return is_packed(weights) ? packed_[static_cast<size_t>(layer)].data() : nullptr;
  }
  // Over pass.examples examples from `first` on, which are at x and go to y.
  absl::Status run_layer(int layer, const PassContext& pass, int64_t first, const float* weights, const float* x,
                         float* y);
  // The first grouped_layers_ layers, group by group, each group on one thread.
  absl::Status forward_groups(const EvenGroups& groups, const PassContext& pass, const float* weights);
  // Layer -1 is the input.
  float* input_of(int layer) { return layer == 0 ? input() : output_of(layer - 1); }

  const Network& network_;
  int64_t capacity_;
  MemoryBuffer<float> activations_;           // input, then the output of each layer that does not work in place
  MemoryBuffer<uint8_t> kept_;                // what layers keep for backward
  MemoryBuffer<float> grads_[2];              // activation gradients of two neighbouring layers, in turns
  std::vector<int64_t> output_offset_;        // floats, per layer
  std::vector<int64_t> kept_offset_;          // bytes, per layer
  const float* packed_weights_ = nullptr;     // those that packed_ was made of
  std::vector<AlignedBuffer<float>> packed_;  // per layer, or none at all
  int grouped_layers_ = 0;                    // how many layers forward with packed weights runs group by group
  int group_ = 0;                             // most examples of a group
  StepTimes times_;
};

}  // namespace lockstep
