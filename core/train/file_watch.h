// SPDX-License-Identifier: Apache-2.0
// Signs of life while the main thread reads or writes files, or waits for a thread that does: checking a large data
// set, restoring, the write of a checkpoint.
#pragma once

#include <chrono>
#include <cstdint>

#include "core/train/train_config.h"
#include "mpi/communicator.h"

namespace lockstep {

// While it lives, file activity of the process (core/base/file.h) is progress of this rank: however long the work
// takes, it may go on as long as bytes move.
class FileWatch {
 public:
  // `patience_s`: how much longer than the stall time-out a single operation may take.
  explicit FileWatch(Communicator& communicator, double patience_s = 0);

  // What --file_timeout_secs allows beyond --stall_timeout_secs.
  static double patience_s(const TrainConfig& config);

 private:
  using Clock = std::chrono::steady_clock;
  uint64_t count();

  const double patience_s_;
  // Of the watchdog's thread.
  uint64_t activity_, granted_ = 0;
  Clock::time_point active_at_ = Clock::now();
  ProgressSource source_;  // last: it calls count()
};

}  // namespace lockstep
