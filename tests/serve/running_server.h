// SPDX-License-Identifier: Apache-2.0
// `lockstep serve` as a process of its own, on free ports of this machine.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace lockstep {

class RunningServer {
 public:
  // Of the program at LOCKSTEP_PROGRAM. CHECKs that it is ready within some seconds; what it says goes to the file
  // `log`.
  RunningServer(const std::string& model_base_path, const std::string& log, const std::vector<std::string>& flags = {});
  ~RunningServer();  // kills it
  RunningServer(const RunningServer&) = delete;
  RunningServer& operator=(const RunningServer&) = delete;

  int port() const { return port_; }  // of REST
  int grpc_port() const;
  std::string log() const;
  bool is_running() const;
  int64_t resident_bytes() const;
  // A value of its metrics page, by the whole name with its labels; -1 when there is none. Tries again for some seconds
  // while it is turned away.
  int64_t metric(const std::string& name) const;
  // SIGTERM; its exit code, or minus the signal that ended it.
  int stop();

 private:
  const std::string log_;
  pid_t pid_ = 0;
  int port_ = 0;
};

}  // namespace lockstep
