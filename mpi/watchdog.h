// SPDX-License-Identifier: Apache-2.0
// A side thread that tells the other ranks several times a second how the main thread of this one is doing. Every rank
// reports to rank 0, which judges them and itself and reports back, so that the others can tell when rank 0 is silent.
// It sleeps between its rounds and costs a few microseconds in each.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mpi/communicator.h"
#include "mpi/mpi_world.h"
#include "mpi/stall_detector.h"

namespace lockstep {

class Watchdog {
 public:
  // `on_stall` is called once, on the side thread, with a report that names the rank to blame, its host and why.
  Watchdog(MpiWorld& world, const std::string& host, double timeout_s,
           std::function<void(const std::string&)> on_stall);
  // No more signs of life go out.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // Thread-safe, a few nanoseconds.
  void note_progress() { progress_.fetch_add(1, std::memory_order_relaxed); }
  // Borrowed from its addition to its removal, which waits while it is being read. Thread-safe.
  void add_progress_source(const ProgressSource* source);
  void remove_progress_source(const ProgressSource* source);
  // Of the main thread. Counts as progress.
  void set_phase(SignOfLife::Phase phase, std::string_view what);

 private:
  // Signs exchanged with one rank; at most one is on its way in each direction.
  struct Line {
    int peer = 0;
    SignOfLife outgoing, incoming;
    MessageRequest sending, receiving;
  };

  void run();
  void exchange(double now);
  void talk(Line& line, const SignOfLife& own, double now);
  SignOfLife own_sign();
  std::optional<StallDetector::Verdict> judge(double now) const;
  std::optional<StallDetector::Verdict> find_dead_process(double now) const;
  std::string report(const StallDetector::Verdict& verdict, double now) const;

  MpiWorld& world_;
  const std::function<void(const std::string&)> on_stall_;
  StallDetector detector_;
  std::vector<std::unique_ptr<Line>> lines_;  // MPI holds addresses inside

  std::atomic<uint64_t> progress_{0};
  std::mutex mutex_;  // guards what follows
  std::condition_variable stopping_;
  SignOfLife sign_;
  std::vector<const ProgressSource*> sources_;
  bool stop_ = false;

  std::thread thread_;
};

}  // namespace lockstep
