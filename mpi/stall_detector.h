// SPDX-License-Identifier: Apache-2.0
// Judges from signs of life which rank holds up the job. Pure: time comes as an argument, nothing is sent or read.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lockstep {

// What a rank tells about itself several times a second, as raw bytes between processes of one program.
struct SignOfLife {
  enum Phase : int32_t { kRunning, kWaiting, kLeaving };
  uint64_t progress = 0;  // changes whenever the main thread gets somewhere
  int64_t pid = 0;
  Phase phase = kRunning;
  // What the main thread waits for, and where: zero-terminated, cut when too long.
  char what[60] = {};
  char host[64] = {};

  void set_what(const std::string& text);
  void set_host(const std::string& text);
};

class StallDetector {
 public:
  struct Verdict {
    int rank = -1;  // who holds up the job; -1 when nobody in particular does
    std::string reason;
  };

  // Expects signs of all `ranks` ranks from `now` (seconds) on.
  StallDetector(int ranks, double timeout_s, double now);

  // A sign of rank `rank` has arrived.
  void heard(int rank, const SignOfLife& sign, double now);
  // The observer itself did not run for a while: nothing that it did not hear counts.
  void observer_was_away(double now);

  // The rank to blame, once there is one. A rank that waits for others is not to blame however long it waits; of
  // several, the one longest without progress.
  std::optional<Verdict> check(double now) const;

  // Of one rank, whether it is silent: all that can be judged by who hears of no other.
  std::optional<Verdict> check_silence(int rank, double now) const;

  bool heard_of(int rank) const { return state(rank).heard; }
  const SignOfLife& last_sign(int rank) const { return state(rank).sign; }
  double silence_s(int rank, double now) const { return now - state(rank).heard_at; }

  // A line per rank: where it is and what it does.
  std::string table(double now) const;

 private:
  struct State {
    bool heard = false;
    double heard_at = 0, changed_at = 0;
    SignOfLife sign;
  };
  const State& state(int rank) const { return states_[static_cast<size_t>(rank)]; }
  std::string describe(const State& state, double now) const;
  std::optional<Verdict> check_rank(int rank, double now) const;
  std::optional<Verdict> check_all_waiting(double now) const;

  const double timeout_s_;
  std::vector<State> states_;
};

}  // namespace lockstep
