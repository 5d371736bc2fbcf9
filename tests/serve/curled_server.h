// SPDX-License-Identifier: Apache-2.0
// `lockstep serve` as a user runs it, in a shell's background, and asked with curl. For fixtures to derive from.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <csignal>
#include <regex>
#include <string>

#include "tests/serve/grpc_flag.h"
#include "tests/support/fault_file.h"
#include "tests/support/run_program.h"
#include "tests/support/soon.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {

class CurledServer {
 protected:
  ~CurledServer() {
    if (pid_ > 0) kill(pid_, SIGKILL);
  }

  // Starts `lockstep serve` with these flags behind `environment`, "NAME=VALUE …", and waits for its address.
  void start_server(const std::string& flags, const std::string& environment = "") {
    const Outcome started = run_shell(fmt::format("env {} {} serve {} --rest_api_port 0 {} > {} 2>&1 & echo $!",
                                                  environment, LOCKSTEP_PROGRAM, kGrpcFlag, flags, log_));
    pid_ = std::stoi(started.output);
    wait_for_url();
  }
  void wait_for_url() {
    ASSERT_TRUE(soon([&] {
      std::smatch found;
      const std::string text = file_exists(log_) ? slurp(log_) : "";
      if (!std::regex_search(text, found, std::regex("REST API at (https?://[^/]*)/"))) return false;
      url_ = found[1];
      return true;
    })) << slurp(log_);
  }
  std::string curl(const std::string& path, const std::string& flags = "") const {
    return run_shell(fmt::format("curl -sS --max-time 30 {} '{}{}' 2>&1", flags, url_, path)).output;
  }
  std::string status(const std::string& path, const std::string& flags = "") const {
    return curl(path, "-o /dev/null -w '%{http_code}' " + flags);
  }
  bool is_running() const { return kill(pid_, 0) == 0; }

  const TmpDir logs_;
  const std::string log_ = logs_.file("log");
  std::string url_;
  pid_t pid_ = 0;
};

}  // namespace lockstep
