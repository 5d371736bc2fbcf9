// SPDX-License-Identifier: Apache-2.0
#include "serve/client/answer_text.h"

#include <absl/strings/ascii.h>
#include <fmt/format.h>

#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "serve/client/json_tokens.h"
#include "serve/predictions.h"
#include "serve/python_repr.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

using nlohmann::json;

std::string quoted(const std::string& text, AnswerFormat format) {
  if (format == AnswerFormat::kJson) return json(text).dump(-1, ' ', true);
  const char quote = text.find('\'') == std::string::npos || text.find('"') != std::string::npos ? '\'' : '"';
  return quote + printable(text) + quote;
}

std::string number_text(double number, AnswerFormat format) {
  return format == AnswerFormat::kJson ? python_json_number(number) : python_repr(number);
}

std::string word(const json& value, AnswerFormat format) {
  if (format == AnswerFormat::kJson) return value.dump();
  return value.is_null() ? "None" : value.get<bool>() ? "True" : "False";
}

// As Python's repr() or json.dumps() writes it. No deeper than restore_tokens() lets through.
void append_value(std::string& out, const json& value, AnswerFormat format) {
  if (const auto token = token_value(value)) {
    out += number_text(*token, format);
  } else if (value.is_number_float()) {
    out += number_text(value.get<double>(), format);
  } else if (value.is_number()) {
    out += value.dump();
  } else if (value.is_string()) {
    out += quoted(value.get_ref<const std::string&>(), format);
  } else if (value.is_array()) {
    out += '[';
    for (size_t i = 0; i < value.size(); ++i) {
      if (i > 0) out += ", ";
      append_value(out, value[i], format);
    }
    out += ']';
  } else if (value.is_object()) {
    out += '{';
    for (auto at = value.begin(); at != value.end(); ++at) {
      if (at != value.begin()) out += ", ";
      out += quoted(at.key(), format) + ": ";
      append_value(out, at.value(), format);
    }
    out += '}';
  } else {
    out += word(value, format);
  }
}

std::string text_of(const json& value, AnswerFormat format) {
  std::string out;
  append_value(out, value, format);
  return out;
}

// gcloud shows strings without quotes, and nothing for null.
std::string cell(const json& value) {
  if (value.is_null()) return "";
  if (value.is_string() && !token_value(value)) return printable(value.get_ref<const std::string&>());
  return text_of(value, AnswerFormat::kTable);
}

// gcloud takes the keys of the first prediction; where another has more, they are not to be lost.
std::set<std::string> output_names(const json& predictions) {
  std::set<std::string> names;
  for (const json& each : predictions) {
    if (!each.is_object()) return {};
    for (auto at = each.begin(); at != each.end(); ++at) names.insert(at.key());
  }
  return names;
}

std::string table(const json& predictions) {
  const std::set<std::string> names = output_names(predictions);
  std::vector<std::string> heading;
  for (const std::string& name : names) heading.push_back(absl::AsciiStrToUpper(printable(name)));
  std::vector<std::vector<std::string>> rows;
  for (const json& each : predictions) {
    std::vector<std::string>& row = rows.emplace_back();
    for (const std::string& name : names) row.push_back(each.contains(name) ? cell(each.at(name)) : "");
    if (names.empty()) row.push_back(cell(each));
  }
  return text_table(heading, rows);
}

std::string json_text(const json& predictions) {
  std::vector<std::string> each;
  for (const json& prediction : predictions) each.push_back(text_of(prediction, AnswerFormat::kJson));
  return predictions_json(each);
}

}  // namespace

absl::StatusOr<std::string> answer_text(std::string_view answer, AnswerFormat format) {
  const auto parsed = parse_with_tokens(answer);
  if (!parsed) {
    return absl::DataLossError("No JSON object could be decoded from the HTTP response body: " + shown_body(answer));
  }
  const bool is_map = parsed->is_object();
  if (is_map && parsed->contains("predictions") && parsed->at("predictions").is_array()) {
    const json& predictions = parsed->at("predictions");
    return format == AnswerFormat::kJson ? json_text(predictions) : table(predictions);
  }
  if (is_map && parsed->contains("error")) {
    return absl::InternalError("HTTP request failed. Response: " + shown_body(answer));
  }
  return text_of(*parsed, AnswerFormat::kJson) + "\n";
}

std::string shown_body(std::string_view body) {
  constexpr size_t kMostShown = 4000;
  const std::string_view shown = body.substr(0, kMostShown);
  std::string out;
  // What printable() would escape though it is harmless here: the answer is to look as it was sent.
  constexpr std::string_view kAsItIs = "\n\\";
  for (size_t at = 0; at < shown.size();) {
    const size_t end = std::min(shown.find_first_of(kAsItIs, at), shown.size());
    out += printable(shown.substr(at, end - at));
    if (end < shown.size()) out += shown[end];
    at = end + 1;
  }
  while (out.ends_with('\n')) out.pop_back();
  if (shown.size() < body.size()) out += fmt::format("… ({} bytes in all)", body.size());
  return out.empty() ? "(nothing)" : out;
}

}  // namespace lockstep
