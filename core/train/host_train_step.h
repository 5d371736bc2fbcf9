// SPDX-License-Identifier: Apache-2.0
// A training step on the CPU. Owns the weights' reducer, the moments and the activations.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/aligned_buffer.h"
#include "core/nn/model.h"
#include "core/train/train_step.h"
#include "mpi/grad_reducer.h"

namespace lockstep {

class HostTrainStep : public TrainStep {
 public:
  static absl::StatusOr<std::unique_ptr<TrainStep>> create(Communicator& communicator, const Network& network,
                                                           const TrainConfig& config, const KernelContext& kernel,
                                                           int64_t capacity);

  absl::Status run(const Batch& batch, uint32_t vote) override;
  uint32_t control() const override { return reducer_->control(); }
  absl::Status finish() override;
  absl::StatusOr<const float*> host_weights() override { return reducer_->weights(); }
  absl::Status gather_moments(float* first, float* second) override;
  absl::StatusOr<HostState> host_state() override { return HostState{reducer_->weights(), m_.data(), v_.data()}; }
  absl::StatusOr<HostState> state_to_fill() override { return host_state(); }
  std::string_view transport() const override { return reducer_->transport(); }
  double wait_seconds() const override { return reducer_->wait_seconds(); }
  StepTimes& times() override { return model_.times(); }

  int64_t capacity() const override { return model_.capacity(); }
  absl::Status classify(int64_t examples, const uint8_t* images, const int32_t* labels, float* losses,
                        float* logits) override;

 private:
  HostTrainStep(Communicator& communicator, const Network& network, const TrainConfig& config,
                const KernelContext& kernel, int64_t capacity);

  absl::Status wait_for_losses() override { return absl::OkStatus(); }
  absl::StatusOr<std::string> first_nonfinite_layer() override {
    return model_.first_nonfinite_layer(kernel_, slices_.examples());
  }
  absl::Status load_input(const Batch& batch);
  absl::Status before_layer(int layer);
  absl::Status after_layer(int layer);
  absl::Status update_ready_buckets(bool wait);
  absl::Status update_bucket(int bucket);
  absl::Status update_shard(int bucket, const Shard& shard);
  absl::Status update_from_operands(int bucket, const Shard& shard);
  absl::Status wait_all_gather(int bucket);

  const KernelContext kernel_;
  Model model_;
  std::unique_ptr<GradReducer> reducer_;
  const GradSlices all_slices_;      // of the global batch
  std::vector<bool> give_operands_;  // per layer, see grad_buckets.h; empty: none does
  AlignedBuffer<float> m_, v_;       // of which this rank keeps its shards current
  int started_ = 0;                  // buckets of this step whose reduce-scatter was started
  int updated_ = 0;                  // … and whose shard Adam has updated
  std::vector<bool> gathering_;      // per bucket: an all-gather may be under way
};

}  // namespace lockstep
