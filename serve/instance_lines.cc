// SPDX-License-Identifier: Apache-2.0
#include "serve/instance_lines.h"

#include <absl/strings/ascii.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "serve/text_table.h"

namespace lockstep {
namespace {

using nlohmann::json;

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// Why `line` is no JSON value; the parser stopped at byte `column`, counted from 1. A word is shown whole, though it
// may be wrong from its second letter only (`nope` begins like `null`).
std::string json_problem(std::string_view line, size_t column) {
  constexpr size_t kShown = 20;
  if (column > line.size()) return fmt::format("column {}: the line ends before its value does", column);
  size_t at = std::max<size_t>(column, 1) - 1;
  while (at > 0 && absl::ascii_isalnum(line[at]) && absl::ascii_isalnum(line[at - 1])) --at;
  const std::string_view rest = line.substr(at);
  return fmt::format("column {}: expected JSON, found `{}{}`", at + 1, printable(rest.substr(0, kShown)),
                     rest.size() > kShown ? "…" : "");
}

absl::Status not_json(const std::string& place, std::string_view problem) {
  return absl::InvalidArgumentError(fmt::format(
      "{}: Input instances are not in JSON format. See \"lockstep predict --help\" for details. ({})", place, problem));
}

absl::StatusOr<json> parse_line(std::string_view line, const std::string& place) {
  std::string problem;
  try {
    return json::parse(line);
  } catch (const json::parse_error& error) {
    problem = json_problem(line, error.byte);
  } catch (const json::exception&) {
    problem = "a number too large for float64";
  }
  return not_json(place, problem);
}

// Calls visit(line, "name:number") for each, until it fails.
template <typename Visit>
absl::Status for_each_line(std::string_view text, const std::string& name, int64_t most, Visit visit) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  if (text.empty()) return absl::InvalidArgumentError(name + ": No valid instance was found.");
  for (int64_t number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    while (line.ends_with('\r')) line.remove_suffix(1);
    const std::string place = fmt::format("{}:{}", name, number);
    if (line.empty()) {
      return absl::InvalidArgumentError(place + ": Empty line is not allowed in the instances file.");
    }
    if (most > 0 && number > most) {
      return absl::InvalidArgumentError(fmt::format(
          "{}: Online prediction can process no more than {} instances per file. Please use batch prediction instead.",
          place, most));
    }
    LOCKSTEP_RETURN_IF_ERROR(visit(line, place));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<json>> parse_json_lines(std::string_view text, const std::string& name, int64_t most) {
  std::vector<json> instances;
  LOCKSTEP_RETURN_IF_ERROR(for_each_line(text, name, most, [&](std::string_view line, const std::string& place) {
    auto instance = parse_line(line, place);
    if (instance.ok()) instances.push_back(*std::move(instance));
    return instance.status();
  }));
  return instances;
}

absl::StatusOr<std::vector<std::string>> json_lines(std::string_view text, const std::string& name, int64_t most) {
  std::vector<std::string> lines;
  LOCKSTEP_RETURN_IF_ERROR(for_each_line(text, name, most, [&](std::string_view line, const std::string& place) {
    lines.emplace_back(line);
    return parse_line(line, place).status();
  }));
  return lines;
}

absl::StatusOr<std::vector<std::string>> text_lines_as_json(std::string_view text, const std::string& name,
                                                            int64_t most) {
  std::vector<std::string> lines;
  LOCKSTEP_RETURN_IF_ERROR(for_each_line(text, name, most, [&](std::string_view line, const std::string& place) {
    try {
      lines.push_back(json(std::string(line)).dump());
      return absl::OkStatus();
    } catch (const json::type_error&) {
      return absl::InvalidArgumentError(place + ": Instances cannot be JSON encoded: the line is not UTF-8.");
    }
  }));
  return lines;
}

absl::Status check_json(std::string_view text, const std::string& name) {
  try {
    [[maybe_unused]] const json value = json::parse(text);
    return absl::OkStatus();
  } catch (const json::parse_error& error) {
    const size_t at = std::min(error.byte > 0 ? error.byte - 1 : 0, text.size());
    const size_t newline = text.substr(0, at).rfind('\n');
    const size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
    const auto number = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(begin), '\n');
    const std::string_view line = text.substr(begin, text.find('\n', begin) - begin);
    return not_json(fmt::format("{}:{}", name, number), json_problem(line, at - begin + 1));
  } catch (const json::exception&) {
    return not_json(name, "a number too large for float64");
  }
}

}  // namespace lockstep
