// SPDX-License-Identifier: Apache-2.0
// A prediction server, ours or a peer's, as a child process.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

// A port of 127.0.0.1 that is free now.
absl::StatusOr<int> free_port();

class ServerProcess {
 public:
  // Starts `command` (program and arguments), which must listen on `port` of 127.0.0.1, and waits until it answers
  // GET /readyz with 200. What it prints goes to the file `log`; errors quote its end.
  static absl::StatusOr<std::unique_ptr<ServerProcess>> start(const std::vector<std::string>& command, int port,
                                                              const std::string& log);
  // Asks the child to end (SIGTERM), makes it after ten seconds, and waits for it.
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  int port() const { return port_; }
  double start_to_ready_s() const { return start_to_ready_s_; }
  // The body of /readyz.
  const std::string& ready_answer() const { return ready_answer_; }
  // What it has printed so far.
  std::string output() const;

 private:
  ServerProcess(int port, std::string log) : port_(port), log_(std::move(log)) {}
  absl::Status spawn(const std::vector<std::string>& command);
  absl::Status wait_until_ready();
  bool has_ended();

  const int port_;
  const std::string log_;
  pid_t pid_ = -1;
  double start_to_ready_s_ = 0;
  std::string ready_answer_;
};

}  // namespace lockstep
