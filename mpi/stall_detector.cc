// SPDX-License-Identifier: Apache-2.0
#include "mpi/stall_detector.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace lockstep {
namespace {

// More lines hide the one that matters.
constexpr int kMaxTableRows = 64;

template <size_t N>
void copy_text(const std::string& text, char (&field)[N]) {
  const size_t length = std::min(text.size(), N - 1);
  std::memset(field, 0, N);
  std::memcpy(field, text.data(), length);
}

}  // namespace

void SignOfLife::set_what(const std::string& text) { copy_text(text, what); }
void SignOfLife::set_host(const std::string& text) { copy_text(text, host); }

StallDetector::StallDetector(int ranks, double timeout_s, double now)
    : timeout_s_(timeout_s), states_(static_cast<size_t>(ranks)) {
  for (State& state : states_) state.heard_at = state.changed_at = now;
}

void StallDetector::heard(int rank, const SignOfLife& sign, double now) {
  State& state = states_[static_cast<size_t>(rank)];
  if (!state.heard || sign.progress != state.sign.progress || sign.phase != state.sign.phase) state.changed_at = now;
  state.heard = true;
  state.heard_at = now;
  state.sign = sign;
}

void StallDetector::observer_was_away(double now) {
  for (State& state : states_) state.heard_at = state.changed_at = now;
}

std::optional<StallDetector::Verdict> StallDetector::check(double now) const {
  std::optional<Verdict> worst;
  double longest = 0;
  for (int rank = 0; rank < static_cast<int>(states_.size()); ++rank) {
    auto verdict = check_rank(rank, now);
    const double since = now - state(rank).changed_at;
    if (!verdict || since <= longest) continue;
    longest = since;
    worst = std::move(verdict);
  }
  return worst ? worst : check_all_waiting(now);
}

std::optional<StallDetector::Verdict> StallDetector::check_silence(int rank, double now) const {
  const State& s = state(rank);
  const double silence = now - s.heard_at;
  if (silence <= timeout_s_) return std::nullopt;
  if (s.heard) return Verdict{rank, fmt::format("has given no sign of life for {:.1f} s", silence)};
  return Verdict{rank, fmt::format("has not arrived within {:.1f} s of the start of the others", silence)};
}

std::optional<StallDetector::Verdict> StallDetector::check_rank(int rank, double now) const {
  if (auto silent = check_silence(rank, now)) return silent;
  const State& s = state(rank);
  const double idle = now - s.changed_at;
  if (s.sign.phase == SignOfLife::kRunning && idle > timeout_s_)
    return Verdict{rank,
                   fmt::format("is stuck: its main thread has made no progress for {:.1f} s and does not wait for "
                               "other ranks",
                               idle)};
  return std::nullopt;
}

// Everybody waits and nobody moves: the ranks disagree about what comes next. Who has left the job does.
std::optional<StallDetector::Verdict> StallDetector::check_all_waiting(double now) const {
  int leaving = 0, first_leaving = -1;
  for (int rank = 0; rank < static_cast<int>(states_.size()); ++rank) {
    const State& s = state(rank);
    if (!s.heard || s.sign.phase == SignOfLife::kRunning || now - s.changed_at <= timeout_s_) return std::nullopt;
    if (s.sign.phase != SignOfLife::kLeaving) continue;
    if (leaving++ == 0) first_leaving = rank;
  }
  if (leaving > 0 && leaving < static_cast<int>(states_.size()))
    return Verdict{first_leaving, "has left the job while others still wait for it"};
  return Verdict{-1, fmt::format("all ranks wait for each other and none has made progress for {:.1f} s", timeout_s_)};
}

std::string StallDetector::describe(const State& s, double now) const {
  if (!s.heard) return "not arrived";
  const double silence = now - s.heard_at;
  const std::string heard = silence > 1 ? fmt::format(", last heard of {:.1f} s ago", silence) : "";
  const std::string place = fmt::format("on {} (process {})", s.sign.host, s.sign.pid);
  const double since = now - s.changed_at;
  switch (s.sign.phase) {
    case SignOfLife::kWaiting:
      return fmt::format("{} has waited {:.1f} s for: {}{}", place, since, s.sign.what, heard);
    case SignOfLife::kLeaving:
      return fmt::format("{} left the job {:.1f} s ago{}", place, since, heard);
    case SignOfLife::kRunning:
      break;
  }
  return fmt::format("{} computes, last progress {:.1f} s ago{}", place, since, heard);
}

std::string StallDetector::table(double now) const {
  std::string text;
  const int ranks = static_cast<int>(states_.size());
  for (int rank = 0; rank < std::min(ranks, kMaxTableRows); ++rank)
    text += fmt::format("\n  rank {} {}", rank, describe(state(rank), now));
  if (ranks > kMaxTableRows) text += fmt::format("\n  and {} more", ranks - kMaxTableRows);
  return text;
}

}  // namespace lockstep
