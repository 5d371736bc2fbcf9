// SPDX-License-Identifier: Apache-2.0
// The program `lockstep`: parses the command line and runs one subcommand.
// Exit codes: 0 good, 1 failed, 2 wrong usage.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "core/base/help_format.h"
#include "core/base/usage_error.h"
#include "core/base/version.h"
#include "serve/commands/commands.h"

namespace lockstep {
namespace {

constexpr int kFailed = 1, kWrongUsage = 2;

int run(int argc, char** argv) {
  CLI::App app{"Data-parallel training and serving of small image classifiers", "lockstep"};
  app.require_subcommand(1);
  set_help_format(app);
  app.set_version_flag("--version", std::string("lockstep ") + kVersion, "Print the version");
  Command chosen;
  add_records_command(app, chosen);
  add_export_command(app, chosen);
  add_request_command(app, chosen);
  add_import_command(app, chosen);
  add_predict_command(app, chosen);
  add_inspect_command(app, chosen);
  add_serve_command(app, chosen);
  add_models_command(app, chosen);
  add_versions_command(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    fmt::print(stderr, "lockstep: {}\nRun with --help for usage.\n", usage_error(app, error));
    return kWrongUsage;
  }
  const absl::Status status = chosen();
  if (status.ok()) return 0;
  fmt::print(stderr, "lockstep: {}\n", std::string(status.message()));
  return kFailed;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) { return lockstep::run(argc, argv); }
