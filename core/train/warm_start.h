// SPDX-License-Identifier: Apache-2.0
// Initial weights that come from another model: --warm_start.
#pragma once

#include <string>

#include "core/base/aligned_buffer.h"
#include "core/base/status.h"
#include "core/nn/model_config.h"
#include "core/nn/network.h"

namespace lockstep {

struct WarmStart {
  std::string description;            // for the log: the file, and its global step if it tells
  AlignedBuffer<float> weights;       // in the layout of the network's parameter table
  std::string weights_sha256;         // what the run is identified by: content, not path
  std::vector<std::string> warnings;  // for the log
};

// Reads whatever load_trained_model() reads, for the network of `model`. An error that names the layer, its shape in
// both, or what differs otherwise, when `path` holds another network; and one for a weight that is not finite.
absl::StatusOr<WarmStart> load_warm_start(const std::string& path, const ModelConfig& model, const Network& network);

}  // namespace lockstep
