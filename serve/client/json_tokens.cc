// SPDX-License-Identifier: Apache-2.0
#include "serve/client/json_tokens.h"

#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace lockstep {
namespace {

using nlohmann::json;

constexpr int kMostLevels = 100;  // what reads the value goes down as deep

// The parser knows no tokens but those of the standard, so they go through it as strings with a mark before them.
constexpr char kMark = '\1';
constexpr double kInfinity = std::numeric_limits<double>::infinity();
// The longer one first.
constexpr std::array<std::pair<std::string_view, double>, 3> kTokens{
    {{"-Infinity", -kInfinity}, {"Infinity", kInfinity}, {"NaN", std::numeric_limits<double>::quiet_NaN()}}};

// The length of the string that `text` begins with, quotes included.
size_t string_length(std::string_view text) {
  size_t at = 1;
  while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
  return std::min(at + 1, text.size());
}

std::string_view token_at(std::string_view text) {
  for (const auto& [token, value] : kTokens) {
    if (text.starts_with(token)) return token;
  }
  return {};
}

// `text` with strings for tokens; none when it is nested too deep.
std::optional<std::string> without_tokens(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  int level = 0;
  while (!text.empty()) {
    const char c = text.front();
    const std::string_view token = token_at(text);
    const size_t length = c == '"' ? string_length(text) : std::max<size_t>(token.size(), 1);
    if (c == '[' || c == '{') ++level;
    if (c == ']' || c == '}') --level;
    if (level > kMostLevels) return std::nullopt;
    if (token.empty()) {
      out += text.substr(0, length);
    } else {
      out += "\"\\u0001" + std::string(token) + '"';
    }
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace

std::optional<json> parse_with_tokens(std::string_view text) {
  const auto standard = without_tokens(text);
  if (!standard) return std::nullopt;
  try {
    return json::parse(*standard);
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

std::optional<double> token_value(const json& value) {
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_ref<const std::string&>();
  if (!text.starts_with(kMark)) return std::nullopt;
  for (const auto& [token, number] : kTokens) {
    if (std::string_view(text).substr(1) == token) return number;
  }
  return std::nullopt;
}

}  // namespace lockstep
