// SPDX-License-Identifier: Apache-2.0
// Waiting in a test for what another thread or process does.
#pragma once

#include <chrono>
#include <thread>

namespace lockstep {

// Whether the condition holds within half a minute, and the time that looking takes.
template <typename Condition>
bool soon(Condition condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

}  // namespace lockstep
