// SPDX-License-Identifier: Apache-2.0
#include "io/prefetcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace lockstep {

Prefetcher::Prefetcher(const Dataset& dataset, const TrainingStreamOptions& options)
    : dataset_(dataset),
      options_(options),
      order_(dataset.size(), options.seed, options.shuffle),
      free_(static_cast<size_t>(std::max(1, options.read_ahead))) {
  LOCKSTEP_CHECK_GE(options.first_example, 0);
  LOCKSTEP_CHECK_LE(options.first_example + options.examples, options.global_batch);
  thread_ = std::thread([this] { read_ahead(); });
}

Prefetcher::~Prefetcher() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

absl::StatusOr<const Batch*> Prefetcher::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty() || !end_.ok(); });
  if (ready_.empty()) return end_;
  // The buffer of the previous batch goes back to the reader.
  free_.push_back(std::exchange(current_, std::move(ready_.front())));
  ready_.pop_front();
  lock.unlock();
  changed_.notify_all();
  return &current_;
}

void Prefetcher::read_ahead() {
  Batch batch;
  for (int64_t step = options_.first_step; step < options_.last_step; ++step) {
    if (!take_free_batch(&batch)) return;
    const absl::Status status = read_batch(step, batch);
    if (!deliver(std::move(batch), status)) return;
  }
  std::lock_guard lock(mutex_);
  end_ = absl::OutOfRangeError(fmt::format("the training stream ends before step {}", options_.last_step));
  changed_.notify_all();
}

absl::Status Prefetcher::read_batch(int64_t step, Batch& batch) {
  batch.step = step;
  const auto examples = static_cast<size_t>(options_.examples);
  batch.images.resize(examples * static_cast<size_t>(dataset_.shape().size()));
  batch.labels.resize(examples);
  order_.fill(step * options_.global_batch + options_.first_example, options_.examples, indices_);
  return annotate(dataset_.read(indices_, batch.images.data(), batch.labels.data()),
                  fmt::format("reading the batch of step {}", step));
}

// Waits until the queue has room; false: stop.
bool Prefetcher::take_free_batch(Batch* batch) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stop_ || !free_.empty(); });
  if (stop_) return false;
  *batch = std::move(free_.back());
  free_.pop_back();
  return true;
}

bool Prefetcher::deliver(Batch batch, const absl::Status& status) {
  {
    std::lock_guard lock(mutex_);
    if (status.ok()) {
      ready_.push_back(std::move(batch));
    } else {
      end_ = status;
    }
  }
  changed_.notify_all();
  return status.ok();
}

std::unique_ptr<BatchSource> make_training_stream(const Dataset& dataset, const TrainingStreamOptions& options) {
  return std::make_unique<Prefetcher>(dataset, options);
}

}  // namespace lockstep
