// SPDX-License-Identifier: Apache-2.0
// One training step of one rank: input, forward, loss, backward with each bucket reduced as soon as its layers are
// done, Adam on the own shard, all-gather of the weights. Owns the weights' reducer, the moments and the activations.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/aligned_buffer.h"
#include "core/base/status.h"
#include "core/nn/grad_buckets.h"
#include "core/nn/model.h"
#include "core/train/augment.h"
#include "core/train/train_config.h"
#include "io/batch_source.h"
#include "mpi/communicator.h"
#include "mpi/grad_reducer.h"

namespace lockstep {

class TrainStep {
 public:
  // Collective. Borrows everything; the model's weights are initialised from the seed, the moments are zero.
  // `capacity` of the model: at least the local part of the global batch.
  static absl::StatusOr<std::unique_ptr<TrainStep>> create(Communicator& communicator, const Network& network,
                                                           const TrainConfig& config, const KernelContext& kernel,
                                                           int64_t capacity);

  // The local part of each global batch.
  static int64_t local_first_example(const TrainConfig& config, int rank, int ranks);
  static int64_t local_examples(const TrainConfig& config, int rank, int ranks);

  // Collective: trains on `batch`, the local part of step next_step(). `vote` is or-ed over the ranks into control().
  // A non-finite loss is an error that names step, rank and layer.
  absl::Status run(const Batch& batch, uint32_t vote);
  uint32_t control() const { return reducer_->control(); }

  // Global step: steps done so far, and the number of the next one.
  int64_t next_step() const { return step_; }

  // Collective: mean loss of the last step over the global batch, summed in slice order, so equal for all rank counts.
  absl::StatusOr<double> global_loss();

  // Waits until this rank holds all weights of the last step; needed before weights() is read.
  absl::Status finish_all_gathers();
  float* weights() { return reducer_->weights(); }

  // Optimizer state. moments are flat buffers in the layout of the weights of which this rank keeps its shards current.
  AlignedBuffer<float>& first_moment() { return m_; }
  AlignedBuffer<float>& second_moment() { return v_; }
  float beta1_power() const { return beta1_power_; }
  float beta2_power() const { return beta2_power_; }
  void restore(int64_t step, float beta1_power, float beta2_power);
  GradReducer& reducer() { return *reducer_; }
  Model& model() { return model_; }
  const KernelContext& kernel() const { return kernel_; }

  // Times of the layers come from the model; the rest is the step's.
  StepTimes& times() { return model_.times(); }

 private:
  TrainStep(Communicator& communicator, const Network& network, const TrainConfig& config, const KernelContext& kernel,
            int64_t capacity);

  void load_input(const Batch& batch);
  absl::Status before_layer(int layer);
  absl::Status after_layer(int layer);
  absl::Status check_loss_finite();
  absl::Status update_ready_buckets(bool wait);
  absl::Status update_bucket(int bucket);
  absl::Status wait_all_gather(int bucket);

  Communicator& communicator_;
  const Network& network_;
  const TrainConfig config_;
  const KernelContext kernel_;
  const GradSlices slices_;
  const GradBuckets buckets_;
  const AugmentParams augment_;
  Model model_;
  std::unique_ptr<GradReducer> reducer_;
  AlignedBuffer<float> m_, v_;
  std::vector<float> losses_;  // of the last step, per local example

  int64_t step_ = 0;
  float beta1_power_, beta2_power_;  // beta^(step_ + 1), as float products: TensorFlow's variables of these names
  int started_ = 0;                  // buckets of this step whose reduce-scatter was started
  int updated_ = 0;                  // … and whose shard Adam has updated
  std::vector<bool> gathering_;      // per bucket: an all-gather may be under way
};

}  // namespace lockstep
