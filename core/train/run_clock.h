// SPDX-License-Identifier: Apache-2.0
// Wall time of a run, and how much of it went into training steps: evaluations and checkpoints are pauses.
#pragma once

#include <chrono>

namespace lockstep {

class RunClock {
 public:
  double wall_seconds() const { return since(start_); }
  double training_seconds() const { return wall_seconds() - paused_s_; }

  // While one lives, time counts as paused.
  class Pause {
   public:
    explicit Pause(RunClock* clock) : clock_(clock), begin_s_(clock->wall_seconds()) {}
    ~Pause() { clock_->paused_s_ += clock_->wall_seconds() - begin_s_; }
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

   private:
    RunClock* clock_;
    double begin_s_;
  };

 private:
  using Clock = std::chrono::steady_clock;
  static double since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

  Clock::time_point start_ = Clock::now();
  double paused_s_ = 0;
};

}  // namespace lockstep
