// SPDX-License-Identifier: Apache-2.0
// How a rank passes the time until another one is ready. A partner on its own core answers within microseconds, so spin
// first; when ranks share cores the partner needs this one, so yield soon and then sleep.
#pragma once

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "core/base/relax.h"

namespace lockstep {

class Backoff {
 public:
  static constexpr std::chrono::microseconds kSpin{60}, kYield{1000}, kFirstSleep{50}, kLongestSleep{1000};

  // One pause, longer the longer this object has existed.
  void pause() {
    if (++pauses_ % 16 != 0) return relax();  // reading the clock costs more than a look at a counter
    const auto waited = std::chrono::steady_clock::now() - start_;
    if (waited < kSpin) return relax();
    patient_ = true;
    if (waited < kYield) {
      sched_yield();
    } else {
      std::this_thread::sleep_for(sleep_);
      sleep_ = std::min(sleep_ * 2, kLongestSleep);
    }
    pauses_ = 15;  // from here on every pause is a yield or a sleep
  }

  // The spinning phase is over: the wait is long enough to be worth reporting.
  bool patient() const { return patient_; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::microseconds sleep_ = kFirstSleep;
  unsigned pauses_ = 0;
  bool patient_ = false;
};

}  // namespace lockstep
