// SPDX-License-Identifier: Apache-2.0
// A network as its YAML file describes it (configs/README.md lists every key). This is the text only: shapes are
// inferred, and mistakes between layers found, by Network::build.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/status.h"
#include "kernels/window.h"

namespace lockstep {

struct ConvConfig {
  int filters = 0;
  int kernel = 0;
  int stride = 1;
  Padding padding = Padding::kSame;
  bool relu = false;
};
struct MaxPoolConfig {
  int window = 2;
  int stride = 2;
  Padding padding = Padding::kValid;
};
struct DenseConfig {
  int units = 0;
  bool relu = false;
};
struct DropoutConfig {
  double rate = 0.5;
};

struct LayerConfig {
  std::variant<ConvConfig, MaxPoolConfig, DenseConfig, DropoutConfig> kind;
  int line = 0;  // in the file, from 1; 0 when built by hand
};

struct ModelConfig {
  std::string path;  // for error messages
  int height = 0, width = 0, depth = 0;
  int classes = 0;
  std::vector<LayerConfig> layers;
};

// Errors name file, line and key; for an unknown key or value the nearest known one.
absl::StatusOr<ModelConfig> parse_model_config(std::string_view yaml, const std::string& path);
absl::StatusOr<ModelConfig> load_model_config(const std::string& path);

// The same network with every default written out: what is saved beside checkpoints, and compared on a resume.
std::string to_yaml(const ModelConfig& config);

}  // namespace lockstep
