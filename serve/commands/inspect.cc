// SPDX-License-Identifier: Apache-2.0
#include "serve/inspect/inspect.h"

#include <fmt/format.h>

#include <memory>

#include "serve/commands/command_line.h"
#include "serve/commands/commands.h"

namespace lockstep {
namespace {

struct InspectOptions {
  std::string path;
  bool json = false;
};

absl::Status run(const InspectOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const InspectReport report, inspect(options.path));
  LOCKSTEP_RETURN_IF_ERROR(print_result(options.json ? to_json(report) : to_text(report)));
  const std::vector<std::string> damage = all_damage(report);
  if (damage.empty()) return absl::OkStatus();
  return absl::DataLossError(damage.size() == 1 ? damage[0]
                                                : fmt::format("{} (and {} more)", damage[0], damage.size() - 1));
}

}  // namespace

void add_inspect_command(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* inspect = app.add_subcommand(
      "inspect", "Tell what a file or directory is and holds, and verify every checksum; damage: exit code 1");
  inspect
      ->add_option(
          "path", options->path,
          "IDX, TFRecords, TensorBoard events, checkpoint, .meta graph, SavedModel, ONNX, PNG, JSON, other text, or a "
          "directory of these")
      ->type_name("")
      ->required();
  inspect->add_flag("--json", options->json, "Print JSON instead of tables");
  inspect->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace lockstep
