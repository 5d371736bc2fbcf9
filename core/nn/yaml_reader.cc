// SPDX-License-Identifier: Apache-2.0
#include "core/nn/yaml_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "core/base/suggest.h"

namespace lockstep {

absl::StatusOr<YAML::Node> parse_yaml(std::string_view text, const std::string& path) {
  try {
    return YAML::Load(std::string(text));
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(fmt::format("{}:{}: not valid YAML: {}", path, e.mark.line + 1, e.msg));
  }
}

std::string yaml_place(const std::string& path, const YAML::Node& node) {
  return fmt::format("{}:{}", path, yaml_line(node));
}

absl::StatusOr<YamlMapping> YamlMapping::open(const YAML::Node& node, const std::string& path, std::string what,
                                              const std::vector<std::string>& known_keys) {
  if (!node.IsMap()) {
    return absl::InvalidArgumentError(fmt::format("{}: {} must be a mapping with keys {}", yaml_place(path, node), what,
                                                  fmt::join(known_keys, ", ")));
  }
  std::set<std::string> seen;
  for (const auto& entry : node) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
    if (std::find(known_keys.begin(), known_keys.end(), key) == known_keys.end()) {
      return absl::InvalidArgumentError(fmt::format("{}: unknown key `{}` in {}{}; known: {}",
                                                    yaml_place(path, entry.first), key, what,
                                                    did_you_mean(key, known_keys), fmt::join(known_keys, ", ")));
    }
    if (!seen.insert(key).second) {
      return absl::InvalidArgumentError(
          fmt::format("{}: key `{}` appears twice in {}", yaml_place(path, entry.first), key, what));
    }
  }
  YamlMapping mapping;
  mapping.node_ = node;
  mapping.path_ = path;
  mapping.what_ = std::move(what);
  return mapping;
}

absl::Status YamlMapping::missing(const std::string& key) const {
  return absl::InvalidArgumentError(fmt::format("{}: {} needs the key `{}`", yaml_place(path_, node_), what_, key));
}

absl::Status YamlMapping::read_int(const std::string& key, int low, int high, bool required, int* value) const {
  const YAML::Node node = node_[key];
  if (!node) return required ? missing(key) : absl::OkStatus();
  int read = 0;
  if (!node.IsScalar() || !YAML::convert<int>::decode(node, read) || read < low || read > high) {
    return absl::InvalidArgumentError(fmt::format("{}: `{}` of {} must be a whole number from {} to {}, found `{}`",
                                                  yaml_place(path_, node), key, what_, low, high,
                                                  node.IsScalar() ? node.Scalar() : "a list or mapping"));
  }
  *value = read;
  return absl::OkStatus();
}

absl::Status YamlMapping::read_double(const std::string& key, double low, double high, bool required,
                                      double* value) const {
  const YAML::Node node = node_[key];
  if (!node) return required ? missing(key) : absl::OkStatus();
  double read = 0;
  // Written so that NaN fails.
  if (!node.IsScalar() || !YAML::convert<double>::decode(node, read) || !(read >= low && read <= high)) {
    return absl::InvalidArgumentError(fmt::format("{}: `{}` of {} must be a number from {} to {}, found `{}`",
                                                  yaml_place(path_, node), key, what_, low, high,
                                                  node.IsScalar() ? node.Scalar() : "a list or mapping"));
  }
  *value = read;
  return absl::OkStatus();
}

absl::Status YamlMapping::read_choice(const std::string& key, const std::vector<std::string>& names,
                                      int* choice) const {
  const YAML::Node node = node_[key];
  if (!node) return absl::OkStatus();
  const std::string value = node.IsScalar() ? node.Scalar() : "";
  for (size_t i = 0; i < names.size(); ++i) {
    if (value != names[i]) continue;
    *choice = static_cast<int>(i);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(fmt::format("{}: `{}` of {} must be one of {}, found `{}`{}",
                                                yaml_place(path_, node), key, what_, fmt::join(names, ", "), value,
                                                did_you_mean(value, names)));
}

}  // namespace lockstep
