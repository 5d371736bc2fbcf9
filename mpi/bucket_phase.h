// SPDX-License-Identifier: Apache-2.0
// Checks that the training loop calls a gradient reducer in the order of its contract. The transports' proofs that no
// rank reads what another one overwrites rest on that order.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/check.h"

namespace lockstep {

class BucketPhases {
 public:
  explicit BucketPhases(int buckets) : buckets_(static_cast<size_t>(buckets)) {}

  // 1 for the first step.
  uint64_t step() const { return step_; }

  // The step in which the bucket was last reduced.
  uint64_t step_of(int bucket) { return at(bucket).step; }

  void begin_step() {
    for (const State& state : buckets_) {
      LOCKSTEP_CHECK(state.phase == kIdle || state.phase == kGathering);
      LOCKSTEP_CHECK_EQ(state.step, step_);  // every bucket took part in the step before
    }
    ++step_;
  }
  bool all_idle() const {
    for (const State& state : buckets_)
      if (state.phase != kIdle) return false;
    return true;
  }
  void start_reduce(int bucket) {
    State& state = at(bucket);
    LOCKSTEP_CHECK_EQ(state.phase, kIdle);
    LOCKSTEP_CHECK_EQ(state.step + 1, step_);
    state = {kReducing, step_};
  }
  bool reducing(int bucket) { return at(bucket).phase == kReducing; }
  void finish_reduce(int bucket) { advance(bucket, kReducing, kReduced); }
  void start_gather(int bucket) { advance(bucket, kReduced, kGathering); }
  bool gathering(int bucket) { return at(bucket).phase == kGathering; }
  void finish_gather(int bucket) { advance(bucket, kGathering, kIdle); }

 private:
  enum Phase { kIdle, kReducing, kReduced, kGathering };
  struct State {
    Phase phase = kIdle;
    uint64_t step = 0;
  };

  State& at(int bucket) {
    LOCKSTEP_CHECK(bucket >= 0 && bucket < static_cast<int>(buckets_.size()));
    return buckets_[static_cast<size_t>(bucket)];
  }
  void advance(int bucket, Phase from, Phase to) {
    LOCKSTEP_CHECK_EQ(at(bucket).phase, from);
    at(bucket).phase = to;
  }

  std::vector<State> buckets_;
  uint64_t step_ = 0;
};

}  // namespace lockstep
