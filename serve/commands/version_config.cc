// SPDX-License-Identifier: Apache-2.0
#include "serve/commands/version_config.h"

#include <fmt/format.h>

#include "core/base/file.h"
#include "core/nn/yaml_reader.h"
#include "serve/commands/registry_command.h"

namespace lockstep {
namespace {

constexpr uint64_t kMaxFileBytes = 1 << 20;
const char* const kUnused[] = {"autoScaling", "manualScaling", "machineType"};

absl::Status wrong(const std::string& place, const std::string& key, const std::string& expected) {
  return absl::InvalidArgumentError(fmt::format("{}: `{}` must be {}", place, key, expected));
}

absl::Status read_text(const YamlMapping& fields, const std::string& path, const std::string& key, std::string& value) {
  if (!fields.has(key)) return absl::OkStatus();
  const YAML::Node node = fields.at(key);
  if (!node.IsScalar()) return wrong(yaml_place(path, node), key, "a text");
  if (value.empty()) value = node.Scalar();
  return absl::OkStatus();
}

absl::Status read_labels(const YamlMapping& fields, const std::string& path, ResourceLabels& labels) {
  if (!fields.has("labels")) return absl::OkStatus();
  const YAML::Node node = fields.at("labels");
  if (!node.IsMap()) return wrong(yaml_place(path, node), "labels", "a mapping of names to values");
  for (const auto& entry : node) {
    const std::string place = yaml_place(path, entry.first);
    if (!entry.first.IsScalar() || !entry.second.IsScalar()) return wrong(place, "labels", "names and their values");
    const std::string error = label_error(entry.first.Scalar() + "=" + entry.second.Scalar());
    if (!error.empty()) return absl::InvalidArgumentError(fmt::format("{}: labels: {}", place, error));
    labels.emplace(entry.first.Scalar(), entry.second.Scalar());
  }
  return absl::OkStatus();
}

absl::Status read_fields(const std::string& path, const std::string& text, RegisteredVersion& version,
                         std::vector<std::string>& unused) {
  LOCKSTEP_ASSIGN_OR_RETURN(const YAML::Node root, parse_yaml(text, path));
  LOCKSTEP_ASSIGN_OR_RETURN(const YamlMapping fields,
                            YamlMapping::open(root, path, "a version",
                                              {"deploymentUri", "description", "framework", "labels", "pythonVersion",
                                               "runtimeVersion", "autoScaling", "manualScaling", "machineType"}));
  std::string framework;
  LOCKSTEP_RETURN_IF_ERROR(read_text(fields, path, "deploymentUri", version.origin));
  LOCKSTEP_RETURN_IF_ERROR(read_text(fields, path, "description", version.description));
  LOCKSTEP_RETURN_IF_ERROR(read_text(fields, path, "runtimeVersion", version.runtime_version));
  LOCKSTEP_RETURN_IF_ERROR(read_text(fields, path, "pythonVersion", version.python_version));
  LOCKSTEP_RETURN_IF_ERROR(read_text(fields, path, "framework", framework));
  if (!framework.empty() && framework != "TENSORFLOW") {
    return wrong(yaml_place(path, fields.at("framework")), "framework", "TENSORFLOW");
  }
  for (const char* key : kUnused) {
    if (fields.has(key)) unused.emplace_back(key);
  }
  return read_labels(fields, path, version.labels);
}

}  // namespace

absl::Status read_version_config(const std::string& path, RegisteredVersion& version,
                                 std::vector<std::string>& unused) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string text, read_file(path, kMaxFileBytes));
  try {
    return read_fields(path, text, version, unused);
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(fmt::format("{}:{}: {}", path, error.mark.line + 1, error.msg));
  }
}

}  // namespace lockstep
