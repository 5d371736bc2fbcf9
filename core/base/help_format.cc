// SPDX-License-Identifier: Apache-2.0
#include "core/base/help_format.h"

#include <absl/strings/ascii.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

namespace lockstep {
namespace {

constexpr size_t kNameColumn = 30, kDescriptionColumn = 90;

// Breaks at spaces into lines of at most `width` characters, where words allow it.
std::string wrapped(std::string_view text, size_t width) {
  std::string out;
  while (text.size() > width) {
    size_t end = text.rfind(' ', width);
    if (end == std::string_view::npos) end = std::min(text.find(' '), text.size());
    out += fmt::format("{}\n", text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out + std::string(text);
}

class HelpFormat : public CLI::Formatter {
 public:
  HelpFormat() { column_width(kNameColumn); }

  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0) return "";  // a flag
    // Behind a colon the parser adds what its checks accept.
    const std::string type = option->get_type_name();
    std::string text = type.empty() ? "" : " " + type.substr(0, type.find(':'));
    const std::string otherwise = option->get_default_str();
    if (!otherwise.empty() && otherwise != "[]") text += "=" + otherwise;
    if (option->get_expected_max() == CLI::detail::expected_max_vector_size) text += " ...";
    if (option->get_required()) text += " REQUIRED";
    return text;
  }

  std::string make_option_desc(const CLI::Option* option) const override {
    return wrapped(option->get_description(), kDescriptionColumn);
  }

  std::string make_description(const CLI::App* app) const override { return app->get_description() + "\n"; }

  std::string make_subcommand(const CLI::App* sub) const override {
    std::string text = wrapped(sub->get_description(), kDescriptionColumn);
    for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos; ++at) text.insert(at + 1, kNameColumn, ' ');
    return fmt::format("  {:<{}}{}\n", sub->get_name(), kNameColumn - 2, text);
  }

  // Groups of options, which are subcommands without a name, and subcommands.
  std::string make_subcommands(const CLI::App* app, CLI::AppFormatMode) const override {
    std::string groups, named;
    for (const CLI::App* sub : app->get_subcommands([](const CLI::App*) { return true; })) {
      if (!sub->get_name().empty()) {
        named += make_subcommand(sub);
        continue;
      }
      groups += fmt::format("\n{} ({}):\n", sub->get_group(), absl::AsciiStrToLower(sub->get_description()));
      for (const CLI::Option* option : sub->get_options()) {
        const bool is_shown = option != sub->get_help_ptr() && !option->get_group().empty();
        if (is_shown) groups += make_option(option, false);
      }
    }
    return groups + (named.empty() ? "" : fmt::format("\nSubcommands:\n{}", named));
  }
};

}  // namespace

void set_help_format(CLI::App& app) {
  app.formatter(std::make_shared<HelpFormat>());
  app.set_help_flag("-h,--help", "Print this help");
}

}  // namespace lockstep
