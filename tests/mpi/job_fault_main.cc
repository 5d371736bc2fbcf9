// SPDX-License-Identifier: Apache-2.0
// job_fault <fault> <rank> <stall time-out>: a small training job in which one rank misbehaves after some steps.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "core/base/log.h"
#include "core/base/thread_pool.h"
#include "mpi/communicator.h"
#include "tests/mpi/reducer_scenario.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

void spin_for(std::chrono::seconds time, Communicator* reporting_to) {
  const auto start = Clock::now();
  while (Clock::now() - start < time)
    if (reporting_to != nullptr) reporting_to->note_progress();
}

// A loop of one pass of a layer, which takes longer than the stall time-out. Each of its tasks is short, but for the
// last one if `hangs`.
void run_slow_layer(std::chrono::milliseconds task_time, int tasks, bool hangs, Communicator& communicator) {
  ThreadPool pool(2);
  const ProgressSource progress(communicator, [&pool] { return pool.tasks_done(); });
  pool.parallel_for(tasks, [&](int64_t task, int) {
    const auto start = Clock::now();
    while (Clock::now() - start < task_time || (hangs && task == tasks - 1)) std::this_thread::yield();
  });
}

// After a kill or an abort nothing of this program runs; should it survive them, it ends after a minute.
constexpr std::chrono::seconds kForever{60};

double seconds_now() { return std::chrono::duration<double>(Clock::now().time_since_epoch()).count(); }

void misbehave(const std::string& fault, Communicator& communicator) {
  // The driver measures from here.
  std::fprintf(stderr, "fault at %.3f\n", seconds_now());
  if (fault == "error") communicator.abort("the disk is on fire");
  if (fault == "kill") raise(SIGKILL);
  if (fault == "stop") raise(SIGSTOP);
  if (fault == "spin") spin_for(kForever, nullptr);
  if (fault == "leave") throw 1;
  if (fault == "slow_layer") run_slow_layer(std::chrono::milliseconds(200), 2 * 20, false, communicator);
  if (fault == "stuck_layer") run_slow_layer(std::chrono::milliseconds(10), 4, true, communicator);
  if (fault == "evaluate") spin_for(std::chrono::seconds(4), &communicator);
}

absl::Status run(const std::string& fault, int culprit, Communicator& communicator) {
  LOCKSTEP_RETURN_IF_ERROR(run_scenario(communicator, {}));
  if (communicator.rank() == culprit) misbehave(fault, communicator);
  return run_scenario(communicator, {});
}

int run_job(const std::string& fault, int culprit, double stall_timeout_s) {
  // A program that handles SIGTERM does not end by the launcher's first, polite signal.
  signal(SIGTERM, [](int) {});
  auto communicator = open_communicator({.stall_timeout_s = stall_timeout_s, .startup_timeout_s = stall_timeout_s});
  if (!communicator.ok()) {
    std::fprintf(stderr, "%s\n", communicator.status().ToString().c_str());
    return 1;
  }
  init_logging((*communicator)->rank());
  try {
    const absl::Status status = run(fault, culprit, **communicator);
    if (!status.ok()) (*communicator)->abort(std::string(status.message()));
  } catch (int) {
    return 0;
  }
  return 0;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::string fault = argv[1];
  const int culprit = std::atoi(argv[2]);
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  if (fault == "never_start" && rank != nullptr && std::atoi(rank) == culprit)
    std::this_thread::sleep_for(lockstep::kForever);
  if (fault == "wrong_world") setenv("OMPI_COMM_WORLD_SIZE", "5", 1);
  return lockstep::run_job(fault, culprit, std::atof(argv[3]));
}
