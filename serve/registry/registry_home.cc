// SPDX-License-Identifier: Apache-2.0
#include "serve/registry/registry_home.h"

#include <fmt/format.h>

#include <cstdlib>

#include "core/base/file.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

constexpr size_t kLongestName = 128;
constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::string_view kInName = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

}  // namespace

absl::StatusOr<std::string> registry_home() {
  if (const char* home = std::getenv("LOCKSTEP_HOME"); home != nullptr && *home != '\0') return std::string(home);
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') return join_path(home, ".lockstep");
  return absl::FailedPreconditionError(
      "no place for the registry of models: neither LOCKSTEP_HOME nor HOME is set; set LOCKSTEP_HOME to a directory");
}

absl::Status check_registry_name(std::string_view kind, std::string_view name) {
  const auto refuse = [&](const std::string& why) {
    return absl::InvalidArgumentError(
        fmt::format("`{}` cannot be the name of a {}: {}; expected a letter, then letters, digits and underscores, at "
                    "most {} characters",
                    printable(name.substr(0, kLongestName)), kind, why, kLongestName));
  };
  if (name.empty()) return refuse("it is empty");
  if (name.size() > kLongestName) return refuse(fmt::format("it has {} characters", name.size()));
  if (kLetters.find(name.front()) == std::string_view::npos) return refuse("it does not begin with a letter");
  const size_t wrong = name.find_first_not_of(kInName);
  if (wrong == std::string_view::npos) return absl::OkStatus();
  return refuse(fmt::format("there is `{}` in it", printable(name.substr(wrong, 1))));
}

}  // namespace lockstep
