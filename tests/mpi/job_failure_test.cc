// SPDX-License-Identifier: Apache-2.0
// Starts real jobs in which one rank misbehaves: all must be over in seconds, and stderr must name who did it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <ostream>
#include <string>
#include <vector>

#include "core/base/host_info.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct JobResult {
  int exit_code = -1;  // -1: did not end by itself
  std::string output;
  double seconds = 0;              // from start to end
  double seconds_since_fault = 0;  // where the fault says when it was
};

pid_t start_job(const std::vector<std::string>& command, int output) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  setsid();
  // Open MPI refuses to run as root without both; containers and CI are root.
  setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
  setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(127);
}

// Until end of file, which comes when the last process of the job has ended; false when the time is over before.
bool read_all(int fd, double deadline, std::string* output) {
  char buffer[4096];
  while (seconds_now() < deadline) {
    pollfd poll_fd = {fd, POLLIN, 0};
    if (poll(&poll_fd, 1, 100) <= 0) continue;
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got <= 0) return true;
    output->append(buffer, static_cast<size_t>(got));
  }
  return false;
}

JobResult run_job(int ranks, const std::string& fault, int rank, double stall_timeout_s) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return {};
  const double start = seconds_now();
  const pid_t pid = start_job({LOCKSTEP_MPIEXEC, "--oversubscribe", "-np", std::to_string(ranks), LOCKSTEP_JOB_FAULT,
                               fault, std::to_string(rank), std::to_string(stall_timeout_s)},
                              ends[1]);
  close(ends[1]);
  JobResult result;
  const bool ended = read_all(ends[0], start + 40, &result.output);
  close(ends[0]);
  const double end = seconds_now();
  if (!ended) kill(-pid, SIGKILL);
  int status = 0;
  waitpid(pid, &status, 0);
  if (ended && WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  result.seconds = end - start;
  const std::string mark = "fault at ";
  if (const size_t at = result.output.find(mark); at != std::string::npos)
    result.seconds_since_fault = end - std::stod(result.output.substr(at + mark.size()));
  return result;
}

std::string rank_on_host(int rank) { return "rank " + std::to_string(rank) + " on " + host_name(); }

constexpr double kSoon = 3;  // a stall time-out that keeps the tests short
constexpr double kDefault = 7;
constexpr double kLimitSeconds = 10;

struct Case {
  std::string name, fault;
  int ranks, rank;
  double stall_timeout_s;
  std::string reason;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class FailingJob : public ::testing::TestWithParam<Case> {};

TEST_P(FailingJob, EndsSoonAndNamesRankHostAndReason) {
  const Case& c = GetParam();
  const JobResult job = run_job(c.ranks, c.fault, c.rank, c.stall_timeout_s);
  EXPECT_GT(job.exit_code, 0) << job.output;
  EXPECT_GT(job.seconds_since_fault, 0) << job.output;
  EXPECT_LT(job.seconds_since_fault, kLimitSeconds) << job.output;
  EXPECT_THAT(job.output, HasSubstr(rank_on_host(c.rank) + c.reason));
}

INSTANTIATE_TEST_SUITE_P(
    Faults, FailingJob,
    ::testing::Values(Case{"Error", "error", 3, 1, kSoon, ": the disk is on fire"},
                      Case{"ErrorOnRank0", "error", 3, 0, kSoon, ": the disk is on fire"},
                      Case{"Stop", "stop", 3, 1, kSoon, " has given no sign of life for"},
                      Case{"StopOnRank0", "stop", 3, 0, kSoon, " has given no sign of life for"},
                      Case{"StopOfEight", "stop", 8, 5, kDefault, " has given no sign of life for"},
                      Case{"Spin", "spin", 3, 2, kDefault, " is stuck: its main thread has made no progress for"},
                      Case{"SpinOnRank0", "spin", 2, 0, kSoon, " is stuck: its main thread has made no progress for"},
                      Case{"StuckLayer", "stuck_layer", 2, 1, kSoon, " is stuck: its main thread has made no progress"},
                      Case{"Leave", "leave", 3, 1, kSoon, " has left the job while others still wait for it"}),
    [](const auto& test) { return test.param.name; });

// The launcher sees the signal, and tells of it; the watchdog's report may come too.
TEST(KilledRank, EndsTheJobSoonAndIsNamed) {
  for (const int rank : {0, 2}) {
    const JobResult job = run_job(3, "kill", rank, kDefault);
    EXPECT_GT(job.exit_code, 0) << job.output;
    EXPECT_GT(job.seconds_since_fault, 0) << job.output;
    EXPECT_LT(job.seconds_since_fault, kLimitSeconds) << job.output;
    EXPECT_THAT(job.output, ContainsRegex("process rank " + std::to_string(rank) + " with PID [0-9]+ on node " +
                                          host_name() + " exited on signal 9 .Killed."));
  }
}

TEST(StoppedRank, IsReportedAsStoppedBesideATableOfAllRanks) {
  const JobResult job = run_job(3, "stop", 2, kSoon);
  EXPECT_THAT(job.output, AllOf(HasSubstr("has been stopped by a signal"),
                                HasSubstr("  " + rank_on_host(0) + " (process"), HasSubstr("  " + rank_on_host(1))));
}

TEST(MissingRank, IsNamedAtTheStart) {
  const JobResult job = run_job(3, "never_start", 1, kSoon);
  EXPECT_GT(job.exit_code, 0) << job.output;
  EXPECT_LT(job.seconds, kLimitSeconds) << job.output;
  EXPECT_THAT(job.output, AllOf(HasSubstr("rank 0 has started"), HasSubstr("rank 1 has not started here"),
                                HasSubstr("rank 2 has started")));
}

TEST(MissingRank, IsReportedUnderTheRankOfTheReporter) {
  const JobResult job = run_job(2, "never_start", 0, kSoon);
  EXPECT_THAT(job.output, ContainsRegex(" r1 mpi_communicator.cc:[0-9]+ the job ends: rank 1 on "));
}

TEST(LongEvaluation, IsNoStall) {
  const JobResult job = run_job(3, "evaluate", 1, kSoon);
  EXPECT_EQ(job.exit_code, 0) << job.output;
  EXPECT_GT(job.seconds_since_fault, kSoon + 0.5);
}

TEST(SlowLayer, IsNoStallWhileItsTasksEnd) {
  const JobResult job = run_job(2, "slow_layer", 1, kSoon);
  EXPECT_EQ(job.exit_code, 0) << job.output;
  EXPECT_GT(job.seconds_since_fault, kSoon + 0.5);
}

TEST(WrongLauncher, IsRefused) {
  const JobResult job = run_job(2, "wrong_world", 0, kSoon);
  EXPECT_GT(job.exit_code, 0) << job.output;
  EXPECT_THAT(job.output, HasSubstr("started 5 ranks but MPI sees 2"));
}

}  // namespace
}  // namespace lockstep
