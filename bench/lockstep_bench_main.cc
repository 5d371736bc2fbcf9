// SPDX-License-Identifier: Apache-2.0
// lockstep_bench: what this machine can do, what training and serving make of it, and what the peers make of it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "bench/commands.h"
#include "core/base/log.h"
#include "core/base/usage_error.h"

int main(int argc, char** argv) {
  lockstep::init_logging(0);
  CLI::App app{"Benchmarks of Lockstep. Rows on stdout; --json prints one JSON object a line."};
  app.require_subcommand(1);
  absl::Status status;
  lockstep::add_peak_command(&app, &status);
  lockstep::add_train_command(&app, &status);
  lockstep::add_serve_command(&app, &status);
  lockstep::add_gpu_peak_command(&app, &status);
  lockstep::add_gpu_kernels_command(&app, &status);
  lockstep::add_gpu_all_reduce_command(&app, &status);
  lockstep::add_report_command(&app, &status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    fmt::print(stderr, "lockstep_bench: {}\nRun with --help for usage.\n", lockstep::usage_error(app, error));
    return 2;
  }
  if (status.ok()) return 0;
  fmt::print(stderr, "lockstep_bench: {}\n", std::string(status.message()));
  return 1;
}
