// SPDX-License-Identifier: Apache-2.0
// One training step of one rank: input, forward, loss, backward with each bucket reduced as soon as its layers are
// done, Adam on the own shard, all-gather of the weights. On the CPU a step is complete when run() returns but for its
// all-gathers; on a GPU run() only enqueues it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/nn/classifier.h"
#include "core/nn/grad_buckets.h"
#include "core/nn/network.h"
#include "core/nn/step_times.h"
#include "core/train/accelerator.h"
#include "core/train/augment.h"
#include "core/train/train_config.h"
#include "io/batch_source.h"
#include "kernels/adam/adam.h"
#include "kernels/backend.h"
#include "kernels/grad_slices.h"
#include "mpi/communicator.h"

namespace lockstep {

// Flat buffers on the host, in the layout of the parameter table.
struct HostState {
  float* weights = nullptr;
  float* first_moment = nullptr;
  float* second_moment = nullptr;
};

class TrainStep : public Classifier {
 public:
  // Collective. Borrows everything; the weights are initialised from the seed, the moments are zero. `accelerator` is
  // null for the CPU; `kernel` is what the CPU computes with, there or on the way to the GPU. `capacity`: at least the
  // local part of the global batch.
  static absl::StatusOr<std::unique_ptr<TrainStep>> create(Communicator& communicator, const Network& network,
                                                           const TrainConfig& config, const KernelContext& kernel,
                                                           Accelerator* accelerator, int64_t capacity);

  // An error when there are more ranks than slices. Not collective; create() begins with it.
  static absl::Status check_ranks(const TrainConfig& config, int ranks);

  // The local part of each global batch.
  static int64_t local_first_example(const TrainConfig& config, int rank, int ranks);
  static int64_t local_examples(const TrainConfig& config, int rank, int ranks);

  // Collective: trains on `batch`, the local part of step next_step(). `vote` is or-ed over the ranks into control().
  // A non-finite loss is an error that names step, rank and layer; on a GPU it comes from the call after, or from
  // finish() or global_loss().
  virtual absl::Status run(const Batch& batch, uint32_t vote) = 0;
  virtual uint32_t control() const = 0;

  // Global step: steps done (or enqueued) so far, and the number of the next one.
  int64_t next_step() const { return step_; }

  // Collective: mean loss of the last step over the global batch, summed in slice order, so equal for all rank counts.
  absl::StatusOr<double> global_loss();

  // Collective: waits until this rank has done the last step and holds all its weights. Needed before host_weights(),
  // host_state(), classify() and gather_moments().
  virtual absl::Status finish() = 0;
  // The weights on the host, of the last step; valid until the next run() or restore(). Not collective.
  virtual absl::StatusOr<const float*> host_weights() = 0;

  // The same with the moments, of which this rank keeps its own shards current.
  virtual absl::StatusOr<HostState> host_state() = 0;

  // Collective: the moments of all shards, on rank 0 (flat buffers; not used elsewhere).
  virtual absl::Status gather_moments(float* first, float* second) = 0;
  float beta1_power() const { return beta1_power_; }
  float beta2_power() const { return beta2_power_; }

  // To continue from a checkpoint: buffers to fill with the same values on every rank, then restore() takes them over.
  virtual absl::StatusOr<HostState> state_to_fill() = 0;
  virtual absl::Status restore(int64_t step, float beta1_power, float beta2_power);

  // How gradients and weights travel: "local", "shm", "mpi", "nccl".
  virtual std::string_view transport() const = 0;
  // Seconds this rank has waited for others so far.
  virtual double wait_seconds() const = 0;
  // On a GPU, times of enqueuing.
  virtual StepTimes& times() = 0;

  int classes() const override { return network_.classes(); }

 protected:
  TrainStep(Communicator& communicator, const Network& network, const TrainConfig& config, GradSlices slices,
            GradBuckets buckets);

  // Until losses_ are those of the last step.
  virtual absl::Status wait_for_losses() = 0;
  // Of the last step's forward pass.
  virtual absl::StatusOr<std::string> first_nonfinite_layer() = 0;

  // Every operator but dropout and Adam needs no more; `slices` too.
  PassContext training_pass(const KernelContext& kernel) const;
  float grad_scale() const { return 1.0f / static_cast<float>(config_.train_batch_size); }
  AdamParams adam_params() const;
  // An error that names `step`, the number of the step that losses_ belong to.
  absl::Status check_losses_finite(int64_t step);
  // Bytes to floats, transformed as the configuration asks.
  void augment(const Batch& batch, ThreadPool* pool, float* out) const;
  // After a step was done or enqueued.
  void advance();

  Communicator& communicator_;
  const Network& network_;
  const TrainConfig config_;
  const GradSlices slices_;
  const GradBuckets buckets_;
  const AugmentParams augment_;
  std::vector<float> losses_;  // per local example
  int64_t step_ = 0;
  float beta1_power_, beta2_power_;  // beta^(step_ + 1), as float products: TensorFlow's variables of these names
};

}  // namespace lockstep
