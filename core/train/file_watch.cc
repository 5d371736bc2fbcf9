// SPDX-License-Identifier: Apache-2.0
#include "core/train/file_watch.h"

#include <algorithm>

#include "core/base/file.h"

namespace lockstep {

FileWatch::FileWatch(Communicator& communicator, double patience_s)
    : patience_s_(patience_s), activity_(file_activity()), source_(communicator, [this] { return count(); }) {}

double FileWatch::patience_s(const TrainConfig& config) {
  return std::max(0.0, file_timeout_s(config) - config.stall_timeout_secs);
}

// Counts on for as long as patience lasts; the watchdog's own time-out begins only then.
uint64_t FileWatch::count() {
  const auto now = Clock::now();
  const uint64_t activity = file_activity();
  if (activity != activity_) {
    activity_ = activity;
    active_at_ = now;
  } else if (std::chrono::duration<double>(now - active_at_).count() < patience_s_) {
    ++granted_;
  }
  return activity_ + granted_;
}

}  // namespace lockstep
