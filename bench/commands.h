// SPDX-License-Identifier: Apache-2.0
// The subcommands of lockstep_bench. Each adds itself to `app`; when chosen, it runs during parsing and leaves its
// outcome in *status, which must outlive the parsing.
#pragma once

#include <CLI/CLI.hpp>

#include "core/base/status.h"

namespace lockstep {

void add_peak_command(CLI::App* app, absl::Status* status);
void add_train_command(CLI::App* app, absl::Status* status);
void add_serve_command(CLI::App* app, absl::Status* status);
void add_gpu_peak_command(CLI::App* app, absl::Status* status);
void add_gpu_kernels_command(CLI::App* app, absl::Status* status);
void add_gpu_all_reduce_command(CLI::App* app, absl::Status* status);
void add_report_command(CLI::App* app, absl::Status* status);

}  // namespace lockstep
