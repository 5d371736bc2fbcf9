// SPDX-License-Identifier: Apache-2.0
#include "bench/server_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <thread>

#include "bench/load_generator.h"
#include "bench/system_error.h"
#include "core/base/file.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Importing a framework takes most of a minute on a busy machine.
constexpr std::chrono::seconds kStartTimeout{180};
constexpr std::chrono::seconds kEndTimeout{10};

// The body of GET /readyz; nothing unless it is answered with 200.
std::optional<std::string> ask_ready(int port) {
  const int fd = connect_to(port);
  if (fd < 0) return std::nullopt;
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  constexpr std::string_view kRequest = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  std::string answer;
  if (::send(fd, kRequest.data(), kRequest.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(kRequest.size())) {
    char chunk[4096];
    for (ssize_t got; (got = ::recv(fd, chunk, sizeof(chunk), 0)) > 0;) answer.append(chunk, static_cast<size_t>(got));
  }
  ::close(fd);
  const size_t head = answer.find("\r\n\r\n");
  if (!answer.starts_with("HTTP/1.1 200 ") || head == std::string::npos) return std::nullopt;
  return answer.substr(head + 4);
}

}  // namespace

absl::StatusOr<int> free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return system_error("socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  const bool found = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), size) == 0 &&
                     ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  const absl::Status status = found ? absl::OkStatus() : system_error("no free port of 127.0.0.1");
  ::close(fd);
  if (!status.ok()) return status;
  return ntohs(address.sin_port);
}

absl::StatusOr<std::unique_ptr<ServerProcess>> ServerProcess::start(const std::vector<std::string>& command, int port,
                                                                    const std::string& log) {
  std::unique_ptr<ServerProcess> server(new ServerProcess(port, log));
  const Clock::time_point start = Clock::now();
  LOCKSTEP_RETURN_IF_ERROR(server->spawn(command));
  LOCKSTEP_RETURN_IF_ERROR(annotate(server->wait_until_ready(), command[0]));
  server->start_to_ready_s_ = std::chrono::duration<double>(Clock::now() - start).count();
  return server;
}

absl::Status ServerProcess::spawn(const std::vector<std::string>& command) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  std::vector<char*> argv;
  for (const std::string& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  errno = ::posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (errno == 0) return absl::OkStatus();
  pid_ = -1;
  return system_error("cannot start " + command[0]);
}

absl::Status ServerProcess::wait_until_ready() {
  const Clock::time_point by = Clock::now() + kStartTimeout;
  while (!has_ended()) {
    if (auto answer = ask_ready(port_)) {
      ready_answer_ = std::move(*answer);
      return absl::OkStatus();
    }
    if (Clock::now() > by) {
      return absl::DeadlineExceededError(
          fmt::format("not ready after {} s. It said:\n{}", kStartTimeout.count(), output()));
    }
    std::this_thread::sleep_for(milliseconds(1));
  }
  return absl::UnavailableError("ended before it was ready. It said:\n" + output());
}

bool ServerProcess::has_ended() {
  if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
  return pid_ < 0;
}

std::string ServerProcess::output() const {
  constexpr size_t kMost = 2000;
  const std::string text = read_file(log_).value_or("");
  return text.substr(text.size() - std::min(text.size(), kMost));
}

ServerProcess::~ServerProcess() {
  if (has_ended()) return;
  ::kill(pid_, SIGTERM);
  for (const Clock::time_point by = Clock::now() + kEndTimeout; Clock::now() < by;) {
    if (has_ended()) return;
    std::this_thread::sleep_for(milliseconds(1));
  }
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

}  // namespace lockstep
