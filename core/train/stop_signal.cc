// SPDX-License-Identifier: Apache-2.0
#include "core/train/stop_signal.h"

#include <atomic>
#include <csignal>

namespace lockstep {
namespace {

std::atomic<int> g_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "the handler may only touch lock-free atomics");

void on_signal(int signal) {
  int none = 0;
  g_signal.compare_exchange_strong(none, signal);
}

void handle(int signal, int flags) {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = flags | SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

}  // namespace

void catch_stop_signals() {
  handle(SIGTERM, 0);
  handle(SIGUSR1, 0);
  handle(SIGINT, static_cast<int>(SA_RESETHAND));
}

int stop_signal() { return g_signal.load(); }

}  // namespace lockstep
