// SPDX-License-Identifier: Apache-2.0
// Signs of life while the main thread is busy with something long that has no steps of its own: checking a large data
// set, waiting for a slow disk.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "mpi/communicator.h"

namespace lockstep {

class KeepAlive {
 public:
  // Notes progress from a side thread until destroyed, but for at most `limit_s`: afterwards the watchdog may judge.
  explicit KeepAlive(Communicator& communicator, double limit_s = 600);
  ~KeepAlive();
  KeepAlive(const KeepAlive&) = delete;
  KeepAlive& operator=(const KeepAlive&) = delete;

 private:
  void run(double limit_s);

  Communicator& communicator_;
  std::mutex mutex_;
  std::condition_variable stopping_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace lockstep
