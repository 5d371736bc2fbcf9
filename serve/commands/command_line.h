// SPDX-License-Identifier: Apache-2.0
// What the subcommands share: checks of flags, and printing beside a progress bar.
#pragma once

#include <CLI/CLI.hpp>
#include <string_view>

#include "core/base/status.h"

namespace lockstep {

// Accepts decimal digits only.
CLI::Validator whole_number();

// A line on stdout, with the progress bar out of its way.
void print_line(std::string_view line);

// `text`, to its last byte, on stdout.
absl::Status print_result(std::string_view text);

// The progress bar, on a terminal only.
void show_fraction(double fraction);

}  // namespace lockstep
