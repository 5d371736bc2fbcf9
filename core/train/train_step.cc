// SPDX-License-Identifier: Apache-2.0
#include "core/train/train_step.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/train/device_train_step.h"
#include "core/train/host_train_step.h"
#include "core/train/lr_schedule.h"

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

absl::Status TrainStep::check_ranks(const TrainConfig& config, int ranks) {
  if (ranks <= config.grad_slices) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{} ranks need --grad_slices of at least {}, found {}: start at most {} ranks, or set "
                  "--grad_slices={} (in a new --output_dir: it changes the order of sums)",
                  ranks, ranks, config.grad_slices, config.grad_slices, std::bit_ceil(static_cast<unsigned>(ranks))));
}

absl::StatusOr<std::unique_ptr<TrainStep>> TrainStep::create(Communicator& communicator, const Network& network,
                                                             const TrainConfig& config, const KernelContext& kernel,
                                                             Accelerator* accelerator, int64_t capacity) {
  LOCKSTEP_RETURN_IF_ERROR(check_ranks(config, communicator.size()));
  if (accelerator == nullptr) return HostTrainStep::create(communicator, network, config, kernel, capacity);
  return DeviceTrainStep::create(communicator, network, config, kernel, *accelerator, capacity);
}

TrainStep::TrainStep(Communicator& communicator, const Network& network, const TrainConfig& config, GradSlices slices,
                     GradBuckets buckets)
    : communicator_(communicator),
      network_(network),
      config_(config),
      slices_(std::move(slices)),
      buckets_(std::move(buckets)),
      augment_{config.augment_shift, config.augment_rotate, static_cast<uint64_t>(config.seed)},
      losses_(static_cast<size_t>(slices_.examples())),
      beta1_power_(static_cast<float>(config.adam_beta1)),
      beta2_power_(static_cast<float>(config.adam_beta2)) {}

absl::Status TrainStep::restore(int64_t step, float beta1_power, float beta2_power) {
  step_ = step;
  beta1_power_ = beta1_power;
  beta2_power_ = beta2_power;
  return absl::OkStatus();
}

PassContext TrainStep::training_pass(const KernelContext& kernel) const {
  return {
      .kernel = kernel,
      .examples = slices_.examples(),
      .training = true,
      .seed = static_cast<uint64_t>(config_.seed),
      .step = static_cast<uint64_t>(step_),
      .first_example = static_cast<uint32_t>(local_first_example(config_, communicator_.rank(), communicator_.size())),
      .slices = &slices_};
}

AdamParams TrainStep::adam_params() const {
  return {.learning_rate = learning_rate_at(config_, step_),
          .beta1 = static_cast<float>(config_.adam_beta1),
          .beta2 = static_cast<float>(config_.adam_beta2),
          .epsilon = static_cast<float>(config_.adam_epsilon),
          .beta1_power = beta1_power_,
          .beta2_power = beta2_power_};
}

// A gradient that overflows shows in the next step's loss, which every rank sees; so the loss is all that is looked at.
absl::Status TrainStep::check_losses_finite(int64_t step) {
  for (const float loss : losses_) {
    if (std::isfinite(loss)) continue;
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string layer, first_nonfinite_layer());
    return absl::OutOfRangeError(fmt::format(
        "non-finite loss at step {} on rank {} ({}): the first non-finite numbers are in {}; learning rate {:g}", step,
        communicator_.rank(), communicator_.host_of(communicator_.rank()),
        layer.empty() ? "the softmax loss" : "the output of layer " + layer, learning_rate_at(config_, step)));
  }
  return absl::OkStatus();
}

void TrainStep::augment(const Batch& batch, ThreadPool* pool, float* out) const {
  const FeatureShape shape = network_.input();
  const int64_t first = local_first_example(config_, communicator_.rank(), communicator_.size());
  augment_images(pool, augment_, {shape.height, shape.width, shape.channels}, static_cast<uint64_t>(step_),
                 static_cast<uint32_t>(first), batch.examples(), batch.images.data(), out);
}

void TrainStep::advance() {
  beta1_power_ *= static_cast<float>(config_.adam_beta1);
  beta2_power_ *= static_cast<float>(config_.adam_beta2);
  ++step_;
  ++times().steps;
}

absl::StatusOr<double> TrainStep::global_loss() {
  LOCKSTEP_RETURN_IF_ERROR(wait_for_losses());
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
