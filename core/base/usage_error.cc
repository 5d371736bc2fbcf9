// SPDX-License-Identifier: Apache-2.0
#include "core/base/usage_error.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <vector>

#include "core/base/suggest.h"

namespace lockstep {
namespace {

// The innermost subcommand that was named on the command line.
const CLI::App& selected(const CLI::App& app) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  return chosen.empty() ? app : selected(*chosen.front());
}

// Flags that --help shows; those of option groups, which are subcommands without a name, too.
std::vector<std::string> flag_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  for (const CLI::App* group : app.get_subcommands([](const CLI::App* sub) { return sub->get_name().empty(); })) {
    const std::vector<std::string> more = flag_names(*group);
    names.insert(names.end(), more.begin(), more.end());
  }
  return names;
}

std::vector<std::string> subcommand_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App* s) { return !s->get_name().empty(); }))
    names.push_back(sub->get_name());
  return names;
}

}  // namespace

std::string usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<std::string> unknown = app.remaining(true);
  if (unknown.empty()) return error.what();
  const std::string name = unknown.front().substr(0, unknown.front().find('='));
  const CLI::App& sub = selected(app);
  const bool is_flag = name.starts_with('-');
  const auto candidates = is_flag ? flag_names(sub) : subcommand_names(sub);
  return fmt::format("unknown {} `{}`{}", is_flag ? "flag" : "subcommand", name, did_you_mean(name, candidates));
}

}  // namespace lockstep
