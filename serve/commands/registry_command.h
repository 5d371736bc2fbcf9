// SPDX-License-Identifier: Apache-2.0
// What the subcommands of `lockstep models` and `lockstep versions` share.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "serve/registry/registry.h"

namespace lockstep {

struct RegistryFlags {
  std::string project;
  std::string format;  // "yaml" or "json", "table" of a list
  std::string description;
  std::vector<std::string> labels;  // "key=value"
  bool quiet = false;
};

// --quiet and --project; the latter's default is $CLOUDSDK_CORE_PROJECT, else "local".
void add_common_flags(CLI::App& command, RegistryFlags& flags);
void add_describing_flags(CLI::App& command, RegistryFlags& flags);  // --description and --labels
void add_format_flag(CLI::App& command, RegistryFlags& flags, bool is_list);

// A flag of gcloud that has no use here: `note` says so when it is given. With a value unless `is_switch`.
void add_unused_flag(CLI::App& command, const std::string& names, const std::string& note, bool is_switch = false);
// The rule for names of models or versions.
CLI::Validator registry_name(const std::string& kind);

// What is wrong with "key=value" by Google's rule for labels; "" for nothing.
std::string label_error(const std::string& text);
ResourceLabels labels_of(const RegistryFlags& flags);

absl::StatusOr<std::unique_ptr<Registry>> open_registry();

// Asks on standard error, as gcloud does, unless --quiet. Aborted when the answer is no, or there is none.
absl::Status confirm(const RegistryFlags& flags, std::string_view what);

void print_note(std::string_view text);  // on standard error
absl::Status print_resource(const RegistryFlags& flags, const nlohmann::json& resource);
// `resources` and the rows are of the same things.
absl::Status print_list(const RegistryFlags& flags, const std::vector<std::string>& heading,
                        const std::vector<std::vector<std::string>>& rows, const nlohmann::json& resources);

void print_progress(std::string_view text);  // on standard error, as it is

// "Deleting model [m]..." on standard error while something is done, and then how it ended.
template <typename Work>
auto with_progress(std::string_view begin, std::string_view end, Work work) {
  print_progress(begin);
  auto result = work();
  print_progress(result.ok() ? end : "failed.\n");
  return result;
}

}  // namespace lockstep
