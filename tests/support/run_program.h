// SPDX-License-Identifier: Apache-2.0
// Runs a program as a user does, through the shell.
#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <string>

#include "core/base/check.h"

namespace lockstep {

struct Outcome {
  int exit_code = 0;
  std::string output;
};

// `command` with what it prints to standard output (and to standard error with `2>&1` in it).
inline Outcome run_shell(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  LOCKSTEP_CHECK(pipe != nullptr);
  Outcome outcome;
  char buffer[4096];
  while (const size_t got = std::fread(buffer, 1, sizeof(buffer), pipe)) outcome.output.append(buffer, got);
  const int status = ::pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

}  // namespace lockstep
