// SPDX-License-Identifier: Apache-2.0
#include "mpi/watchdog.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <utility>

#include "mpi/deadline.h"

namespace lockstep {
namespace {

constexpr int kBeat = 0;  // the tag of its messages
constexpr std::chrono::milliseconds kRound{200};
// A round that comes this late tells that this process, or the whole host, was held up; not the others.
constexpr double kAwaySeconds = 2;
// After this silence it is worth asking the system whether the process still exists. The launcher is quicker and knows
// more, where there is one that looks.
constexpr double kDeadCheckSeconds = 1.5;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// If rank 0 falls silent, all others notice at once; they report one after the other, so that one report is read.
double patience(const MpiWorld& world, double timeout_s) {
  return world.rank() == 0 ? timeout_s : timeout_s + std::min(1.0, 0.1 * (world.rank() - 1));
}

// The state letter in /proc/<pid>/stat, after the name in parentheses; 0 when there is no such process.
char process_state(int64_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  if (!std::getline(file, line)) return 0;
  const size_t end = line.rfind(')');
  return end == std::string::npos || end + 2 >= line.size() ? '?' : line[end + 2];
}

bool ended(char state) { return state == 0 || state == 'Z' || state == 'X'; }

}  // namespace

Watchdog::Watchdog(MpiWorld& world, const std::string& host, double timeout_s,
                   std::function<void(const std::string&)> on_stall)
    : world_(world),
      on_stall_(std::move(on_stall)),
      detector_(world.rank() == 0 ? world.size() : 1, patience(world, timeout_s), now_seconds()) {
  sign_.pid = getpid();
  sign_.set_host(host);
  const int last_peer = world.rank() == 0 ? world.size() - 1 : 0;
  for (int peer = world.rank() == 0 ? 1 : 0; peer <= last_peer; ++peer) {
    lines_.push_back(std::make_unique<Line>());
    lines_.back()->peer = peer;
  }
  thread_ = start_quiet_thread([this] { run(); });
}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopping_.notify_all();
  thread_.join();
  for (auto& line : lines_) {
    world_.cancel(&line->sending);
    world_.cancel(&line->receiving);
  }
}

void Watchdog::set_phase(SignOfLife::Phase phase, std::string_view what) {
  note_progress();
  const std::lock_guard lock(mutex_);
  sign_.phase = phase;
  sign_.set_what(std::string(what));
}

// Adding and removing count as progress themselves: otherwise the sum might stay the same by accident.
void Watchdog::add_progress_source(const ProgressSource* source) {
  note_progress();
  const std::lock_guard lock(mutex_);
  sources_.push_back(source);
}

void Watchdog::remove_progress_source(const ProgressSource* source) {
  note_progress();
  const std::lock_guard lock(mutex_);
  sources_.erase(std::remove(sources_.begin(), sources_.end(), source), sources_.end());
}

SignOfLife Watchdog::own_sign() {
  const std::lock_guard lock(mutex_);
  sign_.progress = progress_.load(std::memory_order_relaxed);
  for (const ProgressSource* source : sources_) sign_.progress += source->count();
  return sign_;
}

void Watchdog::run() {
  double last = now_seconds();
  std::unique_lock lock(mutex_);
  while (!stop_) {
    lock.unlock();
    const double now = now_seconds();
    if (now - last > kAwaySeconds) detector_.observer_was_away(now);
    last = now;
    exchange(now);
    if (const auto verdict = judge(now)) return on_stall_(report(*verdict, now));
    lock.lock();
    stopping_.wait_for(lock, kRound, [this] { return stop_; });
  }
}

void Watchdog::exchange(double now) {
  const SignOfLife own = own_sign();
  if (world_.rank() == 0) detector_.heard(0, own, now);
  for (auto& line : lines_) talk(*line, own, now);
}

// Errors need no treatment here: a rank that cannot be reached falls silent.
void Watchdog::talk(Line& line, const SignOfLife& own, double now) {
  if (world_.test(&line.sending).value_or(false)) {
    line.outgoing = own;
    (void)world_.send(MpiWorld::kWatchdog, line.peer, kBeat, &line.outgoing, sizeof(own), &line.sending);
  }
  // Several may have come while this process was held up; the last one counts.
  while (world_.test(&line.receiving).value_or(false)) {
    if (line.incoming.pid != 0) detector_.heard(line.peer, std::exchange(line.incoming, {}), now);
    if (!world_.receive(MpiWorld::kWatchdog, line.peer, kBeat, &line.incoming, sizeof(line.incoming), &line.receiving)
             .ok())
      return;
  }
}

std::optional<StallDetector::Verdict> Watchdog::judge(double now) const {
  if (auto dead = find_dead_process(now)) return dead;
  return world_.rank() == 0 ? detector_.check(now) : detector_.check_silence(0, now);
}

std::optional<StallDetector::Verdict> Watchdog::find_dead_process(double now) const {
  for (const auto& line : lines_) {
    const SignOfLife& sign = detector_.last_sign(line->peer);
    const bool here = std::string_view(sign.host) == sign_.host && detector_.heard_of(line->peer);
    if (!here || detector_.silence_s(line->peer, now) < kDeadCheckSeconds) continue;
    if (ended(process_state(sign.pid)))
      return StallDetector::Verdict{line->peer, fmt::format("is gone: its process {} has ended", sign.pid)};
  }
  return std::nullopt;
}

std::string Watchdog::report(const StallDetector::Verdict& verdict, double now) const {
  if (verdict.rank < 0) return verdict.reason + detector_.table(now);
  const SignOfLife& sign = detector_.last_sign(verdict.rank);
  std::string text = fmt::format("rank {}", verdict.rank);
  if (detector_.heard_of(verdict.rank)) text += fmt::format(" on {}", sign.host);
  text += " " + verdict.reason;
  const bool here = std::string_view(sign.host) == sign_.host;
  const char state = here ? process_state(sign.pid) : '?';
  if (state == 'T' || state == 't') text += fmt::format("; its process {} has been stopped by a signal", sign.pid);
  return text + detector_.table(now);
}

}  // namespace lockstep
