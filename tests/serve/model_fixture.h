// SPDX-License-Identifier: Apache-2.0
// A run directory with a model that nobody trained.
#pragma once

#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/file.h"
#include "core/nn/checkpoint.h"
#include "core/nn/init.h"
#include "core/nn/network.h"

namespace lockstep {

inline constexpr char kTinyModel[] = R"(
image: {height: 4, width: 3}
classes: 3
layers:
  - conv: {filters: 2, kernel: 3, activation: relu}
  - dense: {units: 3}
)";

// model.yaml and model.ckpt-7 of a network of 4x3 pixels and 3 classes (or of `yaml`) in `directory`.
inline void write_run(const std::string& directory, const std::string& yaml = kTinyModel, uint64_t seed = 1) {
  const ModelConfig config = parse_model_config(yaml, "test").value();
  const Network network = Network::build(config).value();
  std::vector<float> weights(static_cast<size_t>(network.params().buffer_size()));
  initialize_weights(network.params(), seed, weights.data());
  CheckpointData data{7, {}};
  for (const Param& param : network.params().params()) {
    data.tensors.push_back({param.name, param.shape, {weights.data() + param.offset, static_cast<size_t>(param.size)}});
  }
  LOCKSTEP_CHECK(make_directories(directory).ok());
  LOCKSTEP_CHECK(write_file_atomic(join_path(directory, "model.yaml"), to_yaml(config)).ok());
  auto manager = CheckpointManager::create(directory).value();
  LOCKSTEP_CHECK(manager->save_async(data).ok());
  LOCKSTEP_CHECK(manager->wait().ok());
}

}  // namespace lockstep
