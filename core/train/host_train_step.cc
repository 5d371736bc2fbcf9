// SPDX-License-Identifier: Apache-2.0
#include "core/train/host_train_step.h"

#include <algorithm>

#include "core/nn/init.h"
#include "core/train/exchange.h"
#include "kernels/adam/adam.h"

namespace lockstep {
namespace {

std::vector<bool> layers_to_give_operands(const Communicator& communicator, const Network& network,
                                          const TrainConfig& config) {
  const int ranks = communicator.size();
  return lockstep::layers_to_give_operands(network, config, ranks,
                                           sends_messages(config, ranks, communicator.local_size()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> HostTrainStep::create(Communicator& communicator, const Network& network,
                                                                 const TrainConfig& config, const KernelContext& kernel,
                                                                 int64_t capacity) {
  std::unique_ptr<HostTrainStep> step(new HostTrainStep(communicator, network, config, kernel, capacity));
  const GradReducerOptions options{.grad_slices = static_cast<int>(config.grad_slices), .transport = config.transport};
  LOCKSTEP_ASSIGN_OR_RETURN(step->reducer_, GradReducer::create(communicator, options, network.params().buffer_size(),
                                                                step->buckets_.buckets));
  // Where shared memory was expected and is not to be had.
  if (step->reducer_->gradients_of(0) == nullptr) step->give_operands_.clear();
  initialize_weights(network.params(), static_cast<uint64_t>(config.seed), step->reducer_->weights());
  return step;
}

HostTrainStep::HostTrainStep(Communicator& communicator, const Network& network, const TrainConfig& config,
                             const KernelContext& kernel, int64_t capacity)
    : TrainStep(communicator, network, config,
                GradSlices::for_rank(communicator.rank(), communicator.size(), static_cast<int>(config.grad_slices),
                                     config.train_batch_size),
                make_grad_buckets(network.params(), network.layer_count(),
                                  layers_to_give_operands(communicator, network, config))),
      kernel_(kernel),
      model_(network, capacity, ModelUse::kTraining),
      all_slices_(GradSlices::for_rank(0, 1, static_cast<int>(config.grad_slices), config.train_batch_size)),
      give_operands_(layers_to_give_operands(communicator, network, config)),
      m_(static_cast<size_t>(network.params().buffer_size())),
      v_(static_cast<size_t>(network.params().buffer_size())),
      gathering_(buckets_.buckets.size()) {}

absl::Status HostTrainStep::run(const Batch& batch, uint32_t vote) {
  LOCKSTEP_CHECK_EQ(batch.step, step_);
  LOCKSTEP_CHECK_EQ(batch.examples(), slices_.examples());
  ScopedTimer timer(&times().total_s);
  const PassContext pass = training_pass(kernel_);
  LOCKSTEP_RETURN_IF_ERROR(load_input(batch));
  started_ = updated_ = 0;
  reducer_->begin_step(vote);
  float* const weights = reducer_->weights();
  LOCKSTEP_RETURN_IF_ERROR(model_.forward(pass, weights, [this](int layer) { return before_layer(layer); }));
  LOCKSTEP_RETURN_IF_ERROR(model_.loss(pass, batch.labels.data(), grad_scale(), losses_.data()));
  LOCKSTEP_RETURN_IF_ERROR(check_losses_finite(step_));
  LOCKSTEP_RETURN_IF_ERROR(model_.backward(pass, weights, {reducer_->gradients(), reducer_->gradient_stride()},
                                           give_operands_, [this](int layer) { return after_layer(layer); }));
  LOCKSTEP_RETURN_IF_ERROR(update_ready_buckets(/*wait=*/true));
  advance();
  return absl::OkStatus();
}

absl::Status HostTrainStep::load_input(const Batch& batch) {
  ScopedTimer timer(&times().input_s);
  if (!augment_.enabled()) return model_.load_images(kernel_, batch.images.data(), batch.examples());
  augment(batch, kernel_.pool, model_.input());
  return absl::OkStatus();
}

absl::Status HostTrainStep::before_layer(int layer) {
  communicator_.note_progress();
  const int bucket = buckets_.bucket_of_layer[static_cast<size_t>(layer)];
  return bucket < 0 ? absl::OkStatus() : wait_all_gather(bucket);
}

absl::Status HostTrainStep::after_layer(int layer) {
  communicator_.note_progress();
  const int buckets = static_cast<int>(buckets_.buckets.size());
  while (started_ < buckets && buckets_.last_layer[static_cast<size_t>(started_)] == layer) {
    ScopedTimer timer(&times().reduce_s);
    LOCKSTEP_RETURN_IF_ERROR(reducer_->start_reduce_scatter(started_));
    ++started_;
  }
  return update_ready_buckets(/*wait=*/false);
}

absl::Status HostTrainStep::update_ready_buckets(bool wait) {
  while (updated_ < started_ && (wait || reducer_->reduce_scatter_ready(updated_))) {
    LOCKSTEP_RETURN_IF_ERROR(update_bucket(updated_));
    ++updated_;
  }
  return absl::OkStatus();
}

absl::Status HostTrainStep::update_bucket(int bucket) {
  Shard shard;
  {
    ScopedTimer timer(&times().reduce_s);
    LOCKSTEP_ASSIGN_OR_RETURN(shard, reducer_->wait_reduce_scatter(bucket));
  }
  communicator_.note_progress();
  if (shard.end > shard.begin) LOCKSTEP_RETURN_IF_ERROR(update_shard(bucket, shard));
  ScopedTimer timer(&times().gather_s);
  gathering_[static_cast<size_t>(bucket)] = true;
  return reducer_->start_all_gather(bucket);
}

absl::Status HostTrainStep::update_shard(int bucket, const Shard& shard) {
  const auto layer = static_cast<size_t>(buckets_.last_layer[static_cast<size_t>(bucket)]);
  if (!give_operands_.empty() && give_operands_[layer]) return update_from_operands(bucket, shard);
  ScopedTimer timer(&times().adam_s);
  std::vector<GradTerm> terms;
  for (const ShardTerm& term : shard.terms) terms.push_back({term.data, term.slices});
  return adam_update(kernel_, adam_params(), shard.end - shard.begin, terms, m_.data() + shard.begin,
                     v_.data() + shard.begin, reducer_->weights() + shard.begin);
}

// The bucket is one layer's.
absl::Status HostTrainStep::update_from_operands(int bucket, const Shard& shard) {
  UpdateBuffers buffers{.operands = {},
                        .begin = shard.begin,
                        .end = shard.end,
                        .adam = adam_params(),
                        .m = m_.data(),
                        .v = v_.data(),
                        .weights = reducer_->weights()};
  for (int rank = 0; rank < communicator_.size(); ++rank) {
    buffers.operands.push_back({local_examples(config_, rank, communicator_.size()),
                                reducer_->gradients_of(rank) + buckets_.buckets[static_cast<size_t>(bucket)].offset});
  }
  const PassContext pass{.kernel = kernel_, .examples = all_slices_.examples(), .slices = &all_slices_};
  return model_.update(buckets_.last_layer[static_cast<size_t>(bucket)], pass, buffers);
}

absl::Status HostTrainStep::wait_all_gather(int bucket) {
  if (!gathering_[static_cast<size_t>(bucket)]) return absl::OkStatus();
  ScopedTimer timer(&times().gather_s);
  gathering_[static_cast<size_t>(bucket)] = false;
  return reducer_->wait_all_gather(bucket);
}

absl::Status HostTrainStep::finish() {
  for (size_t bucket = 0; bucket < gathering_.size(); ++bucket) {
    LOCKSTEP_RETURN_IF_ERROR(wait_all_gather(static_cast<int>(bucket)));
  }
  return absl::OkStatus();
}

absl::Status HostTrainStep::gather_moments(float* first, float* second) {
  LOCKSTEP_RETURN_IF_ERROR(reducer_->gather_shards(m_.data(), first));
  return reducer_->gather_shards(v_.data(), second);
}

absl::Status HostTrainStep::classify(int64_t examples, const uint8_t* images, const int32_t* labels, float* losses,
                                     float* logits) {
  LOCKSTEP_RETURN_IF_ERROR(model_.load_images(kernel_, images, examples));
  const PassContext pass{.kernel = kernel_, .examples = examples};
  LOCKSTEP_RETURN_IF_ERROR(model_.forward(pass, reducer_->weights(), [this](int) {
    communicator_.note_progress();
    return absl::OkStatus();
  }));
  LOCKSTEP_RETURN_IF_ERROR(model_.loss(pass, labels, 0, losses));
  std::copy_n(model_.logits(), examples * classes(), logits);
  return absl::OkStatus();
}

}  // namespace lockstep
