// SPDX-License-Identifier: Apache-2.0
#include "io/prefetcher.h"

#include <fmt/format.h>

#include <functional>

#include "core/base/check.h"

namespace lockstep {

Prefetcher::Prefetcher(const Dataset& dataset, const TrainingStreamOptions& options)
    : dataset_(dataset),
      options_(options),
      order_(dataset.size(), options.seed, options.shuffle),
      next_step_(options.first_step),
      batches_(options.read_ahead, std::bind_front(&Prefetcher::read_batch, this), dataset.describe(),
               options.patience) {
  LOCKSTEP_CHECK_GE(options.first_example, 0);
  LOCKSTEP_CHECK_LE(options.first_example + options.examples, options.global_batch);
}

absl::StatusOr<const Batch*> Prefetcher::next() {
  LOCKSTEP_ASSIGN_OR_RETURN(const Batch* batch, batches_.next());
  if (batch != nullptr) return batch;
  return absl::OutOfRangeError(fmt::format("the training stream ends before step {}", options_.last_step));
}

absl::StatusOr<bool> Prefetcher::read_batch(Batch& batch) {
  if (next_step_ >= options_.last_step) return false;
  batch.step = next_step_++;
  const auto examples = static_cast<size_t>(options_.examples);
  batch.images.resize(examples * static_cast<size_t>(dataset_.shape().size()));
  batch.labels.resize(examples);
  order_.fill(batch.step * options_.global_batch + options_.first_example, options_.examples, indices_);
  const absl::Status status = dataset_.read(indices_, batch.images.data(), batch.labels.data());
  if (!status.ok()) return annotate(status, fmt::format("reading the batch of step {}", batch.step));
  return true;
}

std::unique_ptr<BatchSource> make_training_stream(const Dataset& dataset, const TrainingStreamOptions& options) {
  return std::make_unique<Prefetcher>(dataset, options);
}

}  // namespace lockstep
