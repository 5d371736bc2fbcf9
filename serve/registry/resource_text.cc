// SPDX-License-Identifier: Apache-2.0
#include "serve/registry/resource_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace lockstep {
namespace {

using nlohmann::json;

constexpr std::string_view kDigits = "0123456789";

std::string time_text(int64_t unix_s) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(unix_s)));
}

void put(json& resource, const char* key, const std::string& value) {
  if (!value.empty()) resource[key] = value;
}

std::string model_name(const std::string& project, const std::string& model) {
  return fmt::format("projects/{}/models/{}", project, model);
}

// Numbers in all of YAML's notations, and times.
bool is_like_a_number(std::string_view text) {
  if (text.find_first_of(kDigits) == std::string_view::npos) return false;
  if (text.find_first_of("0123456789+-.") != 0) return false;
  return text.find_first_not_of("0123456789+-.:_abcdefABCDEFoxTZ ") == std::string_view::npos;
}

bool is_like_a_word_of_yaml(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  constexpr std::string_view kWords[] = {"",    "~", "null", "true", "false", "yes",  "no",   "on",
                                         "off", "y", "n",    "=",    "<<",    ".nan", ".inf", "-.inf"};
  return std::ranges::find(kWords, text) != std::end(kWords);
}

bool has_a_meaning(std::string_view text) {
  const bool is_at_front = std::string_view("-?:,[]{}#&*!|>'\"%@` ").find(text.front()) != std::string_view::npos;
  return is_at_front || text.back() == ' ' || text.back() == ':' || text.find(": ") != std::string_view::npos ||
         text.find(" #") != std::string_view::npos;
}

std::string string_text(const std::string& text) {
  const bool is_one_line = std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) >= ' '; });
  if (!is_one_line) return json(text).dump(-1, ' ', false, json::error_handler_t::replace);  // YAML's double quotes
  if (!is_like_a_word_of_yaml(text) && !is_like_a_number(text) && !has_a_meaning(text)) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? "''" : std::string(1, c);
  return quoted + "'";
}

std::string scalar_text(const json& value) {
  return value.is_string() ? string_text(value.get<std::string>()) : value.dump();
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as a resource, three levels
void append_yaml(const json& value, int level, std::string& out) {
  const std::string indent(static_cast<size_t>(level) * 2, ' ');
  if (value.is_array()) {
    for (const json& item : value) {
      if (!item.is_structured()) {
        out += fmt::format("{}- {}\n", indent, scalar_text(item));
        continue;
      }
      std::string nested;
      append_yaml(item, level + 1, nested);
      nested.replace(indent.size(), 2, "- ");
      out += nested;
    }
    return;
  }
  for (const auto& [key, item] : value.items()) {
    if (item.is_structured()) {
      out += fmt::format("{}{}:\n", indent, string_text(key));
      append_yaml(item, item.is_array() ? level : level + 1, out);
    } else {
      out += fmt::format("{}{}: {}\n", indent, string_text(key), scalar_text(item));
    }
  }
}

}  // namespace

json version_resource(const std::string& project, const RegisteredVersion& version) {
  json resource = {{"createTime", time_text(version.create_time_s)},
                   {"name", fmt::format("{}/versions/{}", model_name(project, version.model), version.name)},
                   {"state", "READY"}};
  put(resource, "deploymentUri", version.origin);
  put(resource, "description", version.description);
  put(resource, "framework", version.framework);
  put(resource, "pythonVersion", version.python_version);
  put(resource, "runtimeVersion", version.runtime_version);
  if (version.is_default) resource["isDefault"] = true;
  if (!version.labels.empty()) resource["labels"] = version.labels;
  return resource;
}

json model_resource(const std::string& project, const ModelAndVersions& entry) {
  const RegisteredModel& model = entry.model;
  json resource = {{"name", model_name(project, model.name)}};
  put(resource, "description", model.description);
  if (model.online_prediction_logging) resource["onlinePredictionLogging"] = true;
  if (!model.regions.empty()) resource["regions"] = model.regions;
  if (!model.labels.empty()) resource["labels"] = model.labels;
  const auto standard = std::ranges::find(entry.versions, true, &RegisteredVersion::is_default);
  if (standard != entry.versions.end()) resource["defaultVersion"] = version_resource(project, *standard);
  return resource;
}

std::string yaml_text(const json& value) {
  if (!value.is_structured()) return scalar_text(value) + "\n";
  std::string text;
  append_yaml(value, 0, text);
  return text;
}

}  // namespace lockstep
