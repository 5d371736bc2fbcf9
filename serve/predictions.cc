// SPDX-License-Identifier: Apache-2.0
#include "serve/predictions.h"

#include <absl/strings/ascii.h>
#include <fmt/format.h>

#include <map>
#include <span>

#include "serve/python_repr.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

using ListToText = std::string (*)(std::span<const float>);

// Text of each output of one example, by the output's name, sorted.
std::map<std::string, std::string> outputs_of(const Predictions& predictions, size_t example, ListToText list) {
  const auto n = static_cast<size_t>(predictions.class_count);
  return {{"classes", fmt::format("{}", predictions.classes[example])},
          {"probabilities", list(std::span(predictions.probabilities).subspan(example * n, n))}};
}

}  // namespace

std::string predictions_table(const Predictions& predictions) {
  std::vector<std::string> heading;
  std::vector<std::vector<std::string>> rows;
  for (size_t i = 0; i < predictions.classes.size(); ++i) {
    rows.emplace_back();
    for (auto& [name, text] : outputs_of(predictions, i, python_list)) {
      if (i == 0) heading.push_back(absl::AsciiStrToUpper(name));
      rows.back().push_back(std::move(text));
    }
  }
  return text_table(heading, rows);
}

std::string predictions_json(const Predictions& predictions) {
  std::vector<std::string> each;
  for (size_t i = 0; i < predictions.classes.size(); ++i) {
    std::string fields;
    for (const auto& [name, text] : outputs_of(predictions, i, python_json_list)) {
      fields += fmt::format("{}\"{}\": {}", fields.empty() ? "" : ", ", name, text);
    }
    each.push_back("{" + fields + "}");
  }
  return predictions_json(each);
}

std::string predictions_json(const std::vector<std::string>& each) {
  std::string out = "{\"predictions\": [";
  for (size_t i = 0; i < each.size(); ++i) {
    out += i == 0 ? "\n  " : ",\n  ";
    out += each[i];
  }
  return out + "\n]}\n";
}

}  // namespace lockstep
