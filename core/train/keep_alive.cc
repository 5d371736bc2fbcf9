// SPDX-License-Identifier: Apache-2.0
#include "core/train/keep_alive.h"

#include <chrono>

namespace lockstep {

KeepAlive::KeepAlive(Communicator& communicator, double limit_s) : communicator_(communicator) {
  if (communicator.size() > 1) thread_ = std::thread([this, limit_s] { run(limit_s); });
}

KeepAlive::~KeepAlive() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopping_.notify_one();
  thread_.join();
}

void KeepAlive::run(double limit_s) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(limit_s));
  std::unique_lock lock(mutex_);
  while (!stop_ && Clock::now() < end) {
    communicator_.note_progress();
    stopping_.wait_for(lock, std::chrono::milliseconds(200), [this] { return stop_; });
  }
}

}  // namespace lockstep
