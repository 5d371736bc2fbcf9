// SPDX-License-Identifier: Apache-2.0
#include "serve/commands/command_line.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "core/base/log.h"

namespace lockstep {

CLI::Validator whole_number() {
  const auto check = [](const std::string& text) {
    const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    return digits ? "" : fmt::format("expected a whole number of at least 0, got `{}`", text);
  };
  return CLI::Validator(check, "");
}

void print_line(std::string_view line) {
  show_progress("");
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

absl::Status print_result(std::string_view text) {
  fmt::print("{}", text);
  if (std::fflush(stdout) != 0) return absl::ErrnoToStatus(errno, "standard output: cannot write");
  return absl::OkStatus();
}

void show_fraction(double fraction) {
  constexpr int kWidth = 40;
  const int filled = static_cast<int>(fraction * kWidth);
  show_progress(fmt::format("[{}{}] {:3.0f}%", std::string(static_cast<size_t>(filled), '#'),
                            std::string(static_cast<size_t>(kWidth - filled), '.'), fraction * 100));
}

}  // namespace lockstep
