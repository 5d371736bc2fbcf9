// SPDX-License-Identifier: Apache-2.0
// One thread that produces items ahead of one consumer, through a bounded queue of buffers that are used again.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "io/read_patience.h"

namespace lockstep {

// `Item` is movable and default-constructible.
template <typename Item>
class ReadAhead {
 public:
  // Fills the item, whose contents are those of an earlier one; false: there are no more. Runs on the thread only.
  using Produce = std::function<absl::StatusOr<bool>(Item&)>;

  // At most `capacity` items are finished and not yet taken. `source` names in errors what is read.
  ReadAhead(int capacity, Produce produce, std::string source, ReadPatience patience = {})
      : produce_(std::move(produce)),
        source_(std::move(source)),
        patience_(std::move(patience)),
        free_(static_cast<size_t>(std::max(1, capacity))) {
    thread_ = std::thread([this] { run(); });
  }
  // Stops after the item that is being produced, if any. A thread that hangs in the system cannot be ended and uses
  // what is about to be destroyed: once patience has run out, the process ends with the error.
  ~ReadAhead() {
    std::unique_lock lock(mutex_);
    stop_ = true;
    changed_.notify_all();
    const auto left = [this] { return left_; };
    const absl::Status stopped = wait(lock, left, [](double) { return absl::OkStatus(); });
    if (!stopped.ok()) {
      LOG_ERROR("{}", std::string(stopped.message()));
      std::_Exit(1);
    }
    lock.unlock();
    thread_.join();
  }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // The next item, valid until the next call; null after the last one. An error comes in its place, and from then on.
  // DeadlineExceeded when patience has run out, or the error of `on_wait`: the reader may still come.
  absl::StatusOr<Item*> next() {
    std::unique_lock lock(mutex_);
    const auto arrived = [this] { return !ready_.empty() || ended_; };
    LOCKSTEP_RETURN_IF_ERROR(wait(lock, arrived, patience_.on_wait));
    if (ready_.empty()) return error_.ok() ? absl::StatusOr<Item*>(nullptr) : error_;
    // The buffer of the previous item goes back to the thread.
    free_.push_back(std::exchange(current_, std::move(ready_.front())));
    ready_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return &current_;
  }

 private:
  using Clock = std::chrono::steady_clock;

  void run() {
    produce_all();
    const std::lock_guard lock(mutex_);
    left_ = true;
    changed_.notify_all();
  }

  // Until `done`, or until there has been no file activity for too long.
  template <typename Done>
  absl::Status wait(std::unique_lock<std::mutex>& lock, Done done, const std::function<absl::Status(double)>& on_wait) {
    constexpr std::chrono::milliseconds kSlice{100};
    // A look that comes this late tells that the whole process was stopped, its reader included.
    constexpr std::chrono::seconds kAway{2};
    uint64_t activity = file_activity();
    Clock::time_point last_activity = Clock::now(), last_look = last_activity;
    while (!changed_.wait_for(lock, kSlice, done)) {
      const auto now = Clock::now();
      const uint64_t now_active = file_activity();
      if (now_active != activity || now - last_look > kAway) last_activity = now;
      activity = now_active;
      last_look = now;
      const double idle_s = std::chrono::duration<double>(now - last_activity).count();
      lock.unlock();
      const absl::Status status = on_wait(idle_s);
      lock.lock();
      LOCKSTEP_RETURN_IF_ERROR(status);
      if (idle_s > patience_.timeout_s && !done())
        return absl::DeadlineExceededError(fmt::format("{}: nothing could be read for {:.1f} s", source_, idle_s));
    }
    return absl::OkStatus();
  }

  void produce_all() {
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
  const std::string source_;
  const ReadPatience patience_;
  Item current_;  // consumer only

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> ready_;  // guarded by mutex_, as all below
  std::vector<Item> free_;  // ready_, free_ and the item being produced are `capacity` together
  bool ended_ = false;
  absl::Status error_;
  bool stop_ = false;
  bool left_ = false;  // the thread uses nothing any more

  std::thread thread_;  // last: it uses everything above
};

}  // namespace lockstep
