// SPDX-License-Identifier: Apache-2.0
// A training step on a GPU. Three streams, ordered by events alone:
//   compute   images to floats, forward, loss, backward
//   update    losses to the host; per bucket, as soon as backward has finished it: reduce-scatter, Adam on the own
//             shard, all-gather; all of it beside the rest of backward
//   copy      the next batch to the GPU
// The host enqueues step t + 1 while the GPU is in the backward pass of step t: it waits for nothing but the losses of
// step t, which it must see before it lets a step go on from them. Memory is allocated once.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/base/aligned_buffer.h"
#include "core/base/device_handles.h"
#include "core/nn/model.h"
#include "core/train/device_inference.h"
#include "core/train/device_input.h"
#include "core/train/step_graph.h"
#include "core/train/train_step.h"
#include "mpi/device_grad_reducer.h"
#include "mpi/vote_exchange.h"

namespace lockstep {

class DeviceTrainStep : public TrainStep {
 public:
  static absl::StatusOr<std::unique_ptr<TrainStep>> create(Communicator& communicator, const Network& network,
                                                           const TrainConfig& config, const KernelContext& kernel,
                                                           Accelerator& accelerator, int64_t capacity);
  ~DeviceTrainStep() override;

  absl::Status run(const Batch& batch, uint32_t vote) override;
  uint32_t control() const override { return control_; }
  absl::Status finish() override;
  absl::StatusOr<const float*> host_weights() override;
  absl::StatusOr<HostState> host_state() override;
  absl::Status gather_moments(float* first, float* second) override;
  absl::StatusOr<HostState> state_to_fill() override;
  absl::Status restore(int64_t step, float beta1_power, float beta2_power) override;
  std::string_view transport() const override { return reducer_->transport(); }
  double wait_seconds() const override { return votes_.wait_seconds(); }
  StepTimes& times() override { return times_; }

  int64_t capacity() const override { return model_->capacity(); }
  absl::Status classify(int64_t examples, const uint8_t* images, const int32_t* labels, float* losses,
                        float* logits) override;

  // Whether steps are launched as one graph.
  bool uses_graph() const { return graph_->captured(); }

 private:
  // Host copies that the GPU writes.
  struct Mailbox;

  DeviceTrainStep(Communicator& communicator, const Network& network, const TrainConfig& config,
                  const KernelContext& host_kernel, Accelerator& accelerator);
  absl::Status make_streams();
  absl::Status make_buffers(int64_t capacity);
  absl::Status make_reducer();
  absl::Status initialize();

  absl::Status wait_for_losses() override;
  absl::StatusOr<std::string> first_nonfinite_layer() override;
  absl::Status stage(const Batch& batch);
  absl::Status enqueue_step();
  absl::Status enqueue_forward(const PassContext& pass);
  absl::Status enqueue_losses();
  absl::Status enqueue_bucket(int bucket);
  absl::Status enqueue_adam(const Shard& shard);
  absl::Status after_layer(int layer);
  // Makes `later` wait for what `earlier` has been given so far.
  absl::Status order(DeviceStream earlier, OwnedEvent& event, DeviceStream later);
  // Until done(whether `event` has happened).
  absl::Status wait_for_gpu(std::string_view what, const OwnedEvent& event, absl::FunctionRef<bool(bool)> done);
  absl::Status wait_for_stream(std::string_view what, DeviceStream stream);
  absl::Status upload(const float* from, float* to);
  absl::Status download(const float* from, float* to);
  size_t flat_bytes() const { return static_cast<size_t>(network_.params().buffer_size()) * sizeof(float); }
  KernelContext kernel_on(const DeviceContext& context) const { return {accelerator_.backend, nullptr, &context}; }

  const KernelContext host_kernel_;  // augmentation
  Accelerator& accelerator_;
  Device& device_;
  OwnedStream compute_, update_;
  OwnedEvent losses_made_, updated_, step_done_, waited_for_;
  std::vector<OwnedEvent> gradients_made_;  // per bucket
  DeviceBuffer<std::byte> workspace_;
  DeviceContext compute_context_, update_context_;
  std::unique_ptr<DeviceInput> input_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<DeviceGradReducer> reducer_;
  DeviceBuffer<float> m_, v_, device_losses_;
  std::unique_ptr<Mailbox> mailbox_;
  std::unique_ptr<DeviceInference> inference_;
  std::unique_ptr<StepGraph> graph_;
  VoteExchange votes_;

  AlignedBuffer<float> host_weights_, host_first_, host_second_;  // the moments once they are asked for
  int64_t host_weights_step_ = -1;                                // whose weights host_weights_ holds
  bool losses_pending_ = false;
  int next_bucket_ = 0;  // of the pass being enqueued
  uint32_t control_ = 0;
  StepTimes times_;
};

}  // namespace lockstep
