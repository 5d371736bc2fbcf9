// SPDX-License-Identifier: Apache-2.0
#include "mpi/deadline.h"

#include <signal.h>

#include <chrono>
#include <utility>

namespace lockstep {

std::thread start_quiet_thread(std::function<void()> body) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // a new thread inherits the mask
  std::thread thread(std::move(body));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

Deadline::Deadline(double seconds, std::function<void()> expired) {
  thread_ = start_quiet_thread([this, seconds, expired = std::move(expired)] {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return over_; })) expired();
  });
}

Deadline::~Deadline() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

}  // namespace lockstep
