// SPDX-License-Identifier: Apache-2.0
// One thread that produces items ahead of one consumer, through a bounded queue of buffers that are used again.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

// `Item` is movable and default-constructible.
template <typename Item>
class ReadAhead {
 public:
  // Fills the item, whose contents are those of an earlier one; false: there are no more. Runs on the thread only.
  using Produce = std::function<absl::StatusOr<bool>(Item&)>;

  // At most `capacity` items are finished and not yet taken.
  ReadAhead(int capacity, Produce produce)
      : produce_(std::move(produce)), free_(static_cast<size_t>(std::max(1, capacity))) {
    thread_ = std::thread([this] { run(); });
  }
  // Stops after the item that is being produced, if any.
  ~ReadAhead() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // The next item, valid until the next call; null after the last one. An error comes in its place, and from then on.
  absl::StatusOr<Item*> next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !ready_.empty() || ended_; });
    if (ready_.empty()) return error_.ok() ? absl::StatusOr<Item*>(nullptr) : error_;
    // The buffer of the previous item goes back to the thread.
    free_.push_back(std::exchange(current_, std::move(ready_.front())));
    ready_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return &current_;
  }

 private:
  void run() {
    while (std::optional<Item> item = take_free()) {
      absl::StatusOr<bool> more = produce_(*item);
      std::lock_guard lock(mutex_);
      if (more.ok() && *more) {
        ready_.push_back(*std::move(item));
      } else {
        ended_ = true;
        error_ = std::move(more).status();
      }
      changed_.notify_all();
      if (ended_) return;
    }
  }

  // Waits until the queue has room; none: stop.
  std::optional<Item> take_free() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stop_ || !free_.empty(); });
    if (stop_) return std::nullopt;
    Item item = std::move(free_.back());
    free_.pop_back();
    return item;
  }

  const Produce produce_;
  Item current_;  // consumer only

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> ready_;  // guarded by mutex_, as all below
  std::vector<Item> free_;  // ready_, free_ and the item being produced are `capacity` together
  bool ended_ = false;
  absl::Status error_;
  bool stop_ = false;

  std::thread thread_;  // last: it uses everything above
};

}  // namespace lockstep
