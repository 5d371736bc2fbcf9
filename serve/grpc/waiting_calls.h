// SPDX-License-Identifier: Apache-2.0
// Calls of which it is the client's turn: its message has not come, or it has not taken its answer. Few or many clients
// that are slow, or pretend to be, must not keep others out: such calls are bounded in number and time.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

class WaitingCall {
 public:
  virtual ~WaitingCall() = default;
  // Ends the call. Called on any thread, at most once for each time that it was added, and not after it was removed.
  virtual void give_up(const absl::Status& why) = 0;
};

// Thread-safe. Outlives its calls.
class WaitingCalls {
 public:
  WaitingCalls(int most, std::chrono::milliseconds bound) : most_(static_cast<size_t>(most)), bound_(bound) {}

  // Holds the call until it is removed or given up. Beyond the most, the one that has waited longest is given up.
  void add(std::shared_ptr<WaitingCall> call);
  // False when it has been given up, or was not added.
  bool remove(const WaitingCall& call);
  // Gives up those that have waited too long; to be called often.
  void end_late();
  void end_all(const absl::Status& why);

  size_t size() const;
  int64_t late() const;       // given up for the time they took,
  int64_t made_room() const;  // and for others

 private:
  using Clock = std::chrono::steady_clock;
  struct Place {
    Clock::time_point by;
    std::shared_ptr<WaitingCall> call;
  };
  std::shared_ptr<WaitingCall> take_front();

  const size_t most_;
  const std::chrono::milliseconds bound_;
  mutable std::mutex mutex_;  // guards what follows
  std::list<Place> places_;   // in the order of `by`
  std::map<const WaitingCall*, std::list<Place>::iterator> place_of_;
  int64_t late_ = 0, made_room_ = 0;
};

}  // namespace lockstep
