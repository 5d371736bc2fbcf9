// SPDX-License-Identifier: Apache-2.0
// Bounds a call that cannot be polled: if the object still lives after the given time, `expired` runs on a thread of
// its own.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace lockstep {

class Deadline {
 public:
  Deadline(double seconds, std::function<void()> expired);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;
};

// Starts a thread that takes no signals: handlers run on the threads of the program proper.
std::thread start_quiet_thread(std::function<void()> body);

}  // namespace lockstep
