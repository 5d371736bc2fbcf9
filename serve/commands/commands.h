// SPDX-License-Identifier: Apache-2.0
// The subcommands of `lockstep`. Each adds itself to `app`; when it is chosen, parsing leaves in `chosen` what is then
// to be run. Wrong usage is found during parsing.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "core/base/status.h"

namespace lockstep {

using Command = std::function<absl::Status()>;

void add_records_command(CLI::App& app, Command& chosen);  // records create
void add_request_command(CLI::App& app, Command& chosen);  // request create
void add_export_command(CLI::App& app, Command& chosen);
void add_import_command(CLI::App& app, Command& chosen);
void add_predict_command(CLI::App& app, Command& chosen);
void add_inspect_command(CLI::App& app, Command& chosen);
void add_serve_command(CLI::App& app, Command& chosen);
void add_models_command(CLI::App& app, Command& chosen);    // models create, list, describe, delete
void add_versions_command(CLI::App& app, Command& chosen);  // versions create, list, describe, set-default, delete

}  // namespace lockstep
