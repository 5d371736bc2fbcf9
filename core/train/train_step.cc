// SPDX-License-Identifier: Apache-2.0
#include "core/train/train_step.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "core/nn/init.h"
#include "core/train/lr_schedule.h"
#include "kernels/adam/adam.h"

namespace lockstep {

int64_t TrainStep::local_first_example(const TrainConfig& config, int rank, int ranks) {
  const auto slices = static_cast<int>(config.grad_slices);
  return slice_begin(slices_of_rank(rank, ranks, slices).first, slices, config.train_batch_size);
}

int64_t TrainStep::local_examples(const TrainConfig& config, int rank, int ranks) {
  const auto slices = static_cast<int>(config.grad_slices);
  const SliceRange range = slices_of_rank(rank, ranks, slices);
  return slice_begin(range.first + range.count, slices, config.train_batch_size) -
         slice_begin(range.first, slices, config.train_batch_size);
}

absl::StatusOr<std::unique_ptr<TrainStep>> TrainStep::create(Communicator& communicator, const Network& network,
                                                             const TrainConfig& config, const KernelContext& kernel,
                                                             int64_t capacity) {
  if (communicator.size() > config.grad_slices) {
    return absl::InvalidArgumentError(fmt::format("{} ranks need --grad_slices of at least {}, found {}",
                                                  communicator.size(), communicator.size(), config.grad_slices));
  }
  std::unique_ptr<TrainStep> step(new TrainStep(communicator, network, config, kernel, capacity));
  const GradReducerOptions options{.grad_slices = static_cast<int>(config.grad_slices), .transport = config.transport};
  LOCKSTEP_ASSIGN_OR_RETURN(step->reducer_, GradReducer::create(communicator, options, network.params().buffer_size(),
                                                                step->buckets_.buckets));
  initialize_weights(network.params(), static_cast<uint64_t>(config.seed), step->weights());
  return step;
}

TrainStep::TrainStep(Communicator& communicator, const Network& network, const TrainConfig& config,
                     const KernelContext& kernel, int64_t capacity)
    : communicator_(communicator),
      network_(network),
      config_(config),
      kernel_(kernel),
      slices_(GradSlices::for_rank(communicator.rank(), communicator.size(), static_cast<int>(config.grad_slices),
                                   config.train_batch_size)),
      buckets_(make_grad_buckets(network.params(), network.layer_count())),
      augment_{config.augment_shift, config.augment_rotate, static_cast<uint64_t>(config.seed)},
      model_(network, capacity, ModelUse::kTraining),
      m_(static_cast<size_t>(network.params().buffer_size())),
      v_(static_cast<size_t>(network.params().buffer_size())),
      losses_(static_cast<size_t>(slices_.examples())),
      beta1_power_(static_cast<float>(config.adam_beta1)),
      beta2_power_(static_cast<float>(config.adam_beta2)),
      gathering_(buckets_.buckets.size()) {}

void TrainStep::restore(int64_t step, float beta1_power, float beta2_power) {
  step_ = step;
  beta1_power_ = beta1_power;
  beta2_power_ = beta2_power;
}

absl::Status TrainStep::run(const Batch& batch, uint32_t vote) {
  LOCKSTEP_CHECK_EQ(batch.step, step_);
  LOCKSTEP_CHECK_EQ(batch.examples(), slices_.examples());
  ScopedTimer timer(&times().total_s);
  const PassContext pass{
      .kernel = kernel_,
      .examples = batch.examples(),
      .training = true,
      .seed = static_cast<uint64_t>(config_.seed),
      .step = static_cast<uint64_t>(step_),
      .first_example = static_cast<uint32_t>(local_first_example(config_, communicator_.rank(), communicator_.size())),
      .slices = &slices_};
  load_input(batch);
  started_ = updated_ = 0;
  reducer_->begin_step(vote);
  LOCKSTEP_RETURN_IF_ERROR(model_.forward(pass, weights(), [this](int layer) { return before_layer(layer); }));
  const float grad_scale = 1.0f / static_cast<float>(config_.train_batch_size);
  LOCKSTEP_RETURN_IF_ERROR(model_.loss(pass, batch.labels.data(), grad_scale, losses_.data()));
  LOCKSTEP_RETURN_IF_ERROR(check_loss_finite());
  LOCKSTEP_RETURN_IF_ERROR(model_.backward(pass, weights(), {reducer_->gradients(), reducer_->gradient_stride()},
                                           [this](int layer) { return after_layer(layer); }));
  LOCKSTEP_RETURN_IF_ERROR(update_ready_buckets(/*wait=*/true));
  beta1_power_ *= static_cast<float>(config_.adam_beta1);
  beta2_power_ *= static_cast<float>(config_.adam_beta2);
  ++step_;
  ++times().steps;
  return absl::OkStatus();
}

void TrainStep::load_input(const Batch& batch) {
  ScopedTimer timer(&times().input_s);
  if (!augment_.enabled()) {
    model_.load_images(kernel_, batch.images.data(), batch.examples());
    return;
  }
  const FeatureShape shape = network_.input();
  const int64_t first = local_first_example(config_, communicator_.rank(), communicator_.size());
  augment_images(kernel_.pool, augment_, {shape.height, shape.width, shape.channels}, static_cast<uint64_t>(step_),
                 static_cast<uint32_t>(first), batch.examples(), batch.images.data(), model_.input());
}

absl::Status TrainStep::before_layer(int layer) {
  communicator_.note_progress();
  const int bucket = buckets_.bucket_of_layer[static_cast<size_t>(layer)];
  return bucket < 0 ? absl::OkStatus() : wait_all_gather(bucket);
}

absl::Status TrainStep::after_layer(int layer) {
  communicator_.note_progress();
  const int buckets = static_cast<int>(buckets_.buckets.size());
  while (started_ < buckets && buckets_.last_layer[static_cast<size_t>(started_)] == layer) {
    ScopedTimer timer(&times().reduce_s);
    LOCKSTEP_RETURN_IF_ERROR(reducer_->start_reduce_scatter(started_));
    ++started_;
  }
  return update_ready_buckets(/*wait=*/false);
}

// A gradient that overflows shows in the next step's loss, which every rank sees; so the loss is all that is looked at.
absl::Status TrainStep::check_loss_finite() {
  for (const float loss : losses_) {
    if (std::isfinite(loss)) continue;
    const std::string layer = model_.first_nonfinite_layer(slices_.examples());
    return absl::OutOfRangeError(fmt::format(
        "non-finite loss at step {} on rank {} ({}): the first non-finite numbers are in {}; learning rate {:g}", step_,
        communicator_.rank(), communicator_.host_of(communicator_.rank()),
        layer.empty() ? "the softmax loss" : "the output of layer " + layer, learning_rate_at(config_, step_)));
  }
  return absl::OkStatus();
}

absl::Status TrainStep::update_ready_buckets(bool wait) {
  while (updated_ < started_ && (wait || reducer_->reduce_scatter_ready(updated_))) {
    LOCKSTEP_RETURN_IF_ERROR(update_bucket(updated_));
    ++updated_;
  }
  return absl::OkStatus();
}

absl::Status TrainStep::update_bucket(int bucket) {
  Shard shard;
  {
    ScopedTimer timer(&times().reduce_s);
    LOCKSTEP_ASSIGN_OR_RETURN(shard, reducer_->wait_reduce_scatter(bucket));
  }
  communicator_.note_progress();
  if (shard.end > shard.begin) {
    ScopedTimer timer(&times().adam_s);
    std::vector<GradTerm> terms;
    for (const ShardTerm& term : shard.terms) terms.push_back({term.data, term.slices});
    const AdamParams params{.learning_rate = learning_rate_at(config_, step_),
                            .beta1 = static_cast<float>(config_.adam_beta1),
                            .beta2 = static_cast<float>(config_.adam_beta2),
                            .epsilon = static_cast<float>(config_.adam_epsilon),
                            .beta1_power = beta1_power_,
                            .beta2_power = beta2_power_};
    LOCKSTEP_RETURN_IF_ERROR(adam_update(kernel_, params, shard.end - shard.begin, terms, m_.data() + shard.begin,
                                         v_.data() + shard.begin, weights() + shard.begin));
  }
  ScopedTimer timer(&times().gather_s);
  gathering_[static_cast<size_t>(bucket)] = true;
  return reducer_->start_all_gather(bucket);
}

absl::Status TrainStep::wait_all_gather(int bucket) {
  if (!gathering_[static_cast<size_t>(bucket)]) return absl::OkStatus();
  ScopedTimer timer(&times().gather_s);
  gathering_[static_cast<size_t>(bucket)] = false;
  return reducer_->wait_all_gather(bucket);
}

absl::Status TrainStep::finish_all_gathers() {
  for (size_t bucket = 0; bucket < gathering_.size(); ++bucket) {
    LOCKSTEP_RETURN_IF_ERROR(wait_all_gather(static_cast<int>(bucket)));
  }
  return absl::OkStatus();
}

absl::StatusOr<double> TrainStep::global_loss() {
  std::vector<double> sums;
  for (int slice = 0; slice < slices_.slices(); ++slice) {
    double sum = 0;
    for (int64_t i = slices_.offsets[static_cast<size_t>(slice)]; i < slices_.offsets[static_cast<size_t>(slice) + 1];
         ++i) {
      sum += static_cast<double>(losses_[static_cast<size_t>(i)]);
    }
    sums.push_back(sum);
  }
  const std::string_view blob(reinterpret_cast<const char*>(sums.data()), sums.size() * sizeof(double));
  LOCKSTEP_ASSIGN_OR_RETURN(const auto blobs, communicator_.all_gather(blob));
  double total = 0;
  for (const std::string& other : blobs) {
    std::vector<double> theirs(other.size() / sizeof(double));
    std::memcpy(theirs.data(), other.data(), theirs.size() * sizeof(double));
    for (const double sum : theirs) total += sum;
  }
  return total / static_cast<double>(config_.train_batch_size);
}

}  // namespace lockstep
