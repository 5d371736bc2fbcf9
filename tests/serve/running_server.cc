// SPDX-License-Identifier: Apache-2.0
#include "tests/serve/running_server.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "core/base/check.h"
#include "tests/serve/grpc_flag.h"
#include "tests/serve/http/http_client.h"
#include "tests/support/fault_file.h"

namespace lockstep {
namespace {

const std::string kGet = " HTTP/1.1\r\nHost: localhost\r\n\r\n";

pid_t spawn(std::vector<std::string> arguments, const std::string& log) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  pid_t pid = 0;
  LOCKSTEP_CHECK_EQ(posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

// The port that the log tells of behind `before`, 0 when it does not yet.
int port_in(const std::string& log, const std::string& before, char after) {
  const size_t at = log.find(before);
  if (at == std::string::npos || log.find(after, at + before.size()) == std::string::npos) return 0;
  return std::stoi(log.substr(at + before.size()));
}

}  // namespace

RunningServer::RunningServer(const std::string& model_base_path, const std::string& log,
                             const std::vector<std::string>& flags)
    : log_(log) {
  std::vector<std::string> arguments = {LOCKSTEP_PROGRAM, "serve", kGrpcFlag,           "--rest_api_port", "0",
                                        "--model_name",   "m",     "--model_base_path", model_base_path};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  pid_ = spawn(arguments, log_);
  for (int i = 0; i < 6000; ++i) {
    if (port_ == 0) port_ = port_in(this->log(), "REST API at http://127.0.0.1:", '/');
    if (port_ > 0) {
      HttpClient client(port_);
      client.send("GET /readyz" + kGet);
      if (client.receive().starts_with("HTTP/1.1 200")) return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  LOCKSTEP_CHECK_EQ(this->log(), "the log of a server that is ready");
}

RunningServer::~RunningServer() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

std::string RunningServer::log() const { return file_exists(log_) ? slurp(log_) : ""; }

int RunningServer::grpc_port() const { return port_in(log(), "gRPC at 127.0.0.1:", ':'); }

bool RunningServer::is_running() const { return waitpid(pid_, nullptr, WNOHANG) == 0; }

int64_t RunningServer::resident_bytes() const {
  int64_t total = 0, resident = 0;
  std::ifstream("/proc/" + std::to_string(pid_) + "/statm") >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

int64_t RunningServer::metric(const std::string& name) const {
  std::string page;
  for (int i = 0; i < 200 && !page.starts_with("HTTP/1.1 200"); ++i) {
    if (i > 0) std::this_thread::sleep_for(std::chrono::milliseconds(25));
    HttpClient client(port_);
    client.send("GET /monitoring/prometheus/metrics" + kGet);
    page = client.receive();
  }
  const size_t at = page.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stoll(page.substr(at + name.size() + 2));
}

int RunningServer::stop() {
  kill(pid_, SIGTERM);
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace lockstep
