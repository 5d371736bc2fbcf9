// SPDX-License-Identifier: Apache-2.0
#include "serve/commands/registry_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "serve/registry/registry_home.h"
#include "serve/registry/resource_text.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

using nlohmann::json;

constexpr size_t kLongestLabel = 63;
constexpr std::string_view kInLabel = "abcdefghijklmnopqrstuvwxyz0123456789_-";

std::string default_project() {
  const char* project = std::getenv("CLOUDSDK_CORE_PROJECT");
  return project == nullptr || *project == '\0' ? "local" : project;
}

bool is_label_text(std::string_view text) {
  return text.size() <= kLongestLabel && text.find_first_not_of(kInLabel) == std::string_view::npos;
}

absl::Status print_text(const std::string& text) {
  fmt::print("{}", text);
  if (std::fflush(stdout) != 0) return absl::ErrnoToStatus(errno, "standard output: cannot write");
  return absl::OkStatus();
}

std::string json_text(const json& value) { return value.dump(2, ' ', false, json::error_handler_t::replace) + "\n"; }

}  // namespace

void add_common_flags(CLI::App& command, RegistryFlags& flags) {
  flags.project = default_project();
  command.add_flag("-q,--quiet", flags.quiet, "Ask nothing: the answer to every question is yes");
  command
      .add_option("--project", flags.project,
                  "The project in the names that are printed, as Cloud ML Engine has it; the registry has no projects")
      ->type_name("NAME");
}

void add_describing_flags(CLI::App& command, RegistryFlags& flags) {
  command.add_option("--description", flags.description, "What `describe` is to say of it")->type_name("TEXT");
  command.add_option("--labels", flags.labels, "Labels for `describe`")
      ->type_name("KEY=VALUE,...")
      ->delimiter(',')
      ->check(CLI::Validator(label_error, ""));
}

void add_format_flag(CLI::App& command, RegistryFlags& flags, bool is_list) {
  flags.format = is_list ? "table" : "yaml";
  const std::vector<std::string> formats =
      is_list ? std::vector<std::string>{"table", "yaml", "json"} : std::vector<std::string>{"yaml", "json"};
  command.add_option("--format", flags.format, "How to print it")->type_name("FORMAT")->check(CLI::IsMember(formats));
}

void add_unused_flag(CLI::App& command, const std::string& names, const std::string& note, bool is_switch) {
  const std::string text = fmt::format("{} {}", names.substr(0, names.find(',')), note);
  if (is_switch) {
    command
        .add_flag_callback(
            names, [text] { print_note(text); }, note)
        ->group("");
  } else {
    command
        .add_option_function<std::string>(
            names, [text](const std::string&) { print_note(text); }, note)
        ->group("");
  }
}

CLI::Validator registry_name(const std::string& kind) {
  return CLI::Validator(
      [kind](const std::string& name) { return std::string(check_registry_name(kind, name).message()); }, "");
}

std::string label_error(const std::string& text) {
  const size_t equals = text.find('=');
  const std::string_view key = std::string_view(text).substr(0, equals);
  const bool is_good = equals != std::string::npos && !key.empty() && key.front() >= 'a' && key.front() <= 'z' &&
                       is_label_text(key) && is_label_text(std::string_view(text).substr(equals + 1));
  return is_good ? ""
                 : fmt::format(
                       "expected key=value of lower-case letters, digits, - and _, the key beginning with a "
                       "letter, each at most {} characters; got `{}`",
                       kLongestLabel, printable(text));
}

ResourceLabels labels_of(const RegistryFlags& flags) {
  ResourceLabels labels;
  for (const std::string& label : flags.labels) {
    const size_t equals = label.find('=');
    labels[label.substr(0, equals)] = label.substr(equals + 1);
  }
  return labels;
}

absl::StatusOr<std::unique_ptr<Registry>> open_registry() {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string home, registry_home());
  return Registry::open(home);
}

absl::Status confirm(const RegistryFlags& flags, std::string_view what) {
  if (flags.quiet) return absl::OkStatus();
  fmt::print(stderr, "{}\n\nDo you want to continue (Y/n)?  ", what);
  for (std::string answer; std::getline(std::cin, answer);) {
    answer.erase(std::remove_if(answer.begin(), answer.end(), [](char c) { return c == ' ' || c == '\r'; }),
                 answer.end());
    std::ranges::transform(answer, answer.begin(), [](char c) { return static_cast<char>(std::tolower(c)); });
    if (answer.empty() || answer == "y" || answer == "yes") {
      fmt::print(stderr, "\n");
      return absl::OkStatus();
    }
    if (answer == "n" || answer == "no") return absl::AbortedError("Aborted by user.");
    fmt::print(stderr, "Please enter 'y' or 'n':  ");
  }
  fmt::print(stderr, "\n");
  return absl::AbortedError("nothing was done: there was no answer on standard input; --quiet goes on without asking");
}

void print_note(std::string_view text) { fmt::print(stderr, "lockstep: note: {}\n", text); }

void print_progress(std::string_view text) { fmt::print(stderr, "{}", text); }

absl::Status print_resource(const RegistryFlags& flags, const json& resource) {
  return print_text(flags.format == "json" ? json_text(resource) : yaml_text(resource));
}

absl::Status print_list(const RegistryFlags& flags, const std::vector<std::string>& heading,
                        const std::vector<std::vector<std::string>>& rows, const json& resources) {
  if (flags.format == "json") return print_text(json_text(resources));
  if (rows.empty()) {
    fmt::print(stderr, "Listed 0 items.\n");
    return absl::OkStatus();
  }
  if (flags.format == "table") return print_text(text_table(heading, rows));
  std::string text;
  for (const json& resource : resources) text += (text.empty() ? "" : "---\n") + yaml_text(resource);
  return print_text(text);
}

}  // namespace lockstep
