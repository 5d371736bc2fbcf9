// SPDX-License-Identifier: Apache-2.0
// A trained network as a SavedModel, for TensorFlow, TensorFlow Serving and our own server.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/base/status.h"
#include "core/nn/model_config.h"
#include "core/nn/network.h"

namespace lockstep {

struct SavedModelExportOptions {
  bool frozen = false;          // weights as constants in the graph, no variables directory; at most 2 GiB
  int64_t exports_to_keep = 1;  // versions that stay in `base`; 0: all
  std::function<void(const std::string&)> on_removed = nullptr;  // gets the path of each that went
};

// Writes a new version into `base` and returns its directory (io/saved_model.h: whole or not at all, numbers always
// grow). Signatures `serving_default` and `prediction`: `inputs` float (N, H * W * C) to `classes` int64 (N) and
// `probabilities` float (N, classes). `network` was built from `config`; `weights` has its layout.
absl::StatusOr<std::string> export_saved_model(const std::string& base, const ModelConfig& config,
                                               const Network& network, const float* weights, int64_t global_step,
                                               const SavedModelExportOptions& options = {});

// Whether the newest version in `base` holds exactly these weights in variables, and this step.
bool holds_export_of(const std::string& base, const Network& network, const float* weights, int64_t global_step);

}  // namespace lockstep
