// SPDX-License-Identifier: Apache-2.0
#include "bench/peer_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>

#include "bench/system_error.h"

namespace lockstep {
namespace {

using nlohmann::json;

// Importing a framework and compiling its graphs takes most of a minute on a busy machine.
constexpr int kLineTimeoutMs = 300'000;

// Runs `command` with stdin and stdout on the given ends of two pipes, stderr to nowhere.
absl::StatusOr<pid_t> spawn(const std::vector<std::string>& command, int child_in, int child_out) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, child_in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, child_out, STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::vector<char*> argv;
  for (const std::string& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t pid = -1;
  errno = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (errno != 0) return system_error("cannot start " + command[0]);
  return pid;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PeerProcess>> PeerProcess::start(const std::vector<std::string>& command) {
  int in[2], out[2];
  if (::pipe2(in, O_CLOEXEC) != 0) return system_error("pipe");
  if (::pipe2(out, O_CLOEXEC) != 0) return system_error("pipe");
  absl::StatusOr<pid_t> pid = spawn(command, in[0], out[1]);
  ::close(in[0]);
  ::close(out[1]);
  std::unique_ptr<PeerProcess> peer(new PeerProcess);
  peer->to_child_ = in[1];
  peer->from_child_ = out[0];
  if (!pid.ok()) return pid.status();
  peer->pid_ = *pid;
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string line, peer->read_line());
  const json hello = json::parse(line, nullptr, false);
  if (!hello.is_object()) return absl::DataLossError(fmt::format("{} printed `{}`", command[1], line));
  peer->name_ = hello.value("peer", command[0]);
  if (hello.contains("version")) peer->name_ += " " + hello.value("version", "");
  if (hello.contains("variant")) peer->name_ += ", " + hello.value("variant", "");
  return peer;
}

PeerProcess::~PeerProcess() {
  if (to_child_ >= 0) ::close(to_child_);  // end of input ends the script
  if (from_child_ >= 0) ::close(from_child_);
  if (pid_ <= 0) return;
  ::kill(pid_, SIGTERM);  // also when it is stuck in a step
  ::waitpid(pid_, nullptr, 0);
}

absl::StatusOr<PeerRound> PeerProcess::measure_round() {
  if (::write(to_child_, "\n", 1) != 1) return system_error(name_);
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string line, read_line());
  const json round = json::parse(line, nullptr, false);
  if (!round.is_object()) return absl::DataLossError(fmt::format("{} printed `{}`", name_, line));
  return PeerRound{round.value("images_per_s", 0.0), round.value("best_images_per_s", 0.0)};
}

absl::StatusOr<std::string> PeerProcess::read_line() {
  for (;;) {
    if (const size_t end = buffered_.find('\n'); end != std::string::npos) {
      std::string line = buffered_.substr(0, end);
      buffered_.erase(0, end + 1);
      return line;
    }
    pollfd waiting{from_child_, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, kLineTimeoutMs);
    if (ready == 0) return absl::DeadlineExceededError("the peer gave no answer");
    char chunk[4096];
    const ssize_t got = ready < 0 ? -1 : ::read(from_child_, chunk, sizeof(chunk));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error("reading from the peer");
    if (got == 0) return absl::UnavailableError("the peer ended; run its script by hand to see why");
    buffered_.append(chunk, static_cast<size_t>(got));
  }
}

}  // namespace lockstep
