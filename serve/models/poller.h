// SPDX-License-Identifier: Apache-2.0
// Calls a function again and again on a thread of its own, until it is destroyed.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace lockstep {

class Poller {
 public:
  // `look` is called `wait` after construction, and `wait` after each return of it.
  Poller(std::chrono::milliseconds wait, std::function<void()> look)
      : thread_([this, wait, look = std::move(look)] {
          std::unique_lock lock(mutex_);
          while (!changed_.wait_for(lock, wait, [this] { return stopping_; })) look();
        }) {}
  ~Poller() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace lockstep
