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
  // Of a foreign file: for each parameter of the table the variable or constant that it was, "" for none. Else empty.
  std::vector<std::string> sources;
  // What the caller should log: damaged newer checkpoints that were passed over, say.
  std::vector<std::string> warnings;
  // What only who trains the model on must know: predictions do not depend on it.
  std::vector<std::string> training_warnings;
};

// Loads what `path` means:
//   a run directory (--output_dir of mnist_train): its newest sound checkpoint and model.yaml;
//   a SavedModel of ours or of TensorFlow 1 or 2: its directory, its saved_model.pb, or a directory of versions (the
//   newest);
//   an ONNX file (`.onnx`);
//   a checkpoint's prefix, or any file of the set: with a model.yaml in the same directory, or with TensorFlow's graph
//   beside it (`.meta`).
// All checksums are verified and every weight must be there, in its shape; of a foreign file every operator must be one
// that our networks have (docs/formats/import.md). InvalidArgument "PATH: not a model: …" when `path` is none of these,
// NotFound when it does not exist, DataLoss for a damaged file, Unimplemented for a network that is none of ours,
// OutOfRange for weights that are NaN or infinite. Reads only; thread-safe.
absl::StatusOr<TrainedModel> load_trained_model(const std::string& path);

// Weights of any of these for the network of `config`. A checkpoint, which may be a foreign one without a graph, is
// read by the names of its tensors (checkpoint_names.h). Every other file must hold the same network: see
// same_network().
absl::StatusOr<TrainedModel> load_trained_model(const std::string& path, const ModelConfig& config);

// Writes the model as a run directory, as mnist_train leaves it: model.yaml and, last, a checkpoint of its step,
// without variables of Adam. The directory is made when missing; AlreadyExists when there is a run, a checkpoint or
// another network in it. After a failure nothing of it is left, and what a killed call left is in no later one's way.
absl::Status write_run_directory(const TrainedModel& model, const std::string& directory);

// InvalidArgument, naming the layer and both descriptions, unless the two networks compute the same from the same
// weights. Dropout does not count, nor does the shape of an image that is flattened at once.
absl::Status same_network(const ModelConfig& wanted, const ModelConfig& found, const std::string& found_in);

}  // namespace lockstep
