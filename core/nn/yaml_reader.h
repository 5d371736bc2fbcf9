// SPDX-License-Identifier: Apache-2.0
// Reads one YAML mapping strictly: every key must be known, every value of its type and range. yaml-cpp's exceptions
// stop here. Errors read `file:line: key ...`.
#pragma once

#include <yaml-cpp/yaml.h>

#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

absl::StatusOr<YAML::Node> parse_yaml(std::string_view text, const std::string& path);

// "path:line" of a node, lines from 1.
std::string yaml_place(const std::string& path, const YAML::Node& node);
inline int yaml_line(const YAML::Node& node) { return node.Mark().line + 1; }

class YamlMapping {
 public:
  // `what` names the mapping in errors: "image", "conv".
  static absl::StatusOr<YamlMapping> open(const YAML::Node& node, const std::string& path, std::string what,
                                          const std::vector<std::string>& known_keys);

  bool has(const std::string& key) const { return static_cast<bool>(node_[key]); }
  YAML::Node at(const std::string& key) const { return node_[key]; }

  // Leave *value as it is when the key is absent, unless `required`.
  absl::Status read_int(const std::string& key, int low, int high, bool required, int* value) const;
  absl::Status read_double(const std::string& key, double low, double high, bool required, double* value) const;
  // *choice = index into `names`.
  absl::Status read_choice(const std::string& key, const std::vector<std::string>& names, int* choice) const;

 private:
  absl::Status missing(const std::string& key) const;

  YAML::Node node_;
  std::string path_, what_;
};

}  // namespace lockstep
