// SPDX-License-Identifier: Apache-2.0
// A network with its weights, from any file that a user may call "the model".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/aligned_buffer.h"
#include "core/base/status.h"
#include "core/nn/model_config.h"

namespace lockstep {

struct TrainedModel {
  ModelConfig config;
  AlignedBuffer<float> weights;  // in the order and layout of Network::build(config)->params()
  int64_t global_step = 0;       // 0 when the file does not tell
  std::string origin;            // the file or prefix that the weights came from
  // What the caller should log: damaged newer checkpoints that were passed over, say.
  std::vector<std::string> warnings;
};

// Loads what `path` means:
//   a run directory (--output_dir of mnist_train): its newest sound checkpoint and model.yaml;
//   a checkpoint's prefix, or any file of the set, with a model.yaml in the same directory.
// All checksums are verified and every weight must be there, in its shape. InvalidArgument "not a model: …" when
// `path` is none of these, NotFound when it does not exist, DataLoss for a damaged file. Reads only; thread-safe.
absl::StatusOr<TrainedModel> load_trained_model(const std::string& path);

// Weights of a checkpoint (prefix, file of the set, or directory: its newest sound one) for the network of `config`.
absl::StatusOr<TrainedModel> load_trained_model(const std::string& path, const ModelConfig& config);

}  // namespace lockstep
