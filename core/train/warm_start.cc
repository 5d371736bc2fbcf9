// SPDX-License-Identifier: Apache-2.0
#include "core/train/warm_start.h"

#include <fmt/format.h>

#include <utility>

#include "core/nn/trained_model.h"

namespace lockstep {

absl::StatusOr<WarmStart> load_warm_start(const std::string& path, const ModelConfig& model, const Network& network) {
  auto loaded = load_trained_model(path, model);
  if (!loaded.ok()) return annotate(loaded.status(), "--warm_start");
  WarmStart warm;
  const std::string step = loaded->global_step > 0 ? fmt::format(", step {}", loaded->global_step) : "";
  warm.description = loaded->origin + step;
  warm.weights_sha256 = weights_sha256(network.params(), loaded->weights.data());
  warm.weights = std::move(loaded->weights);
  warm.warnings = std::move(loaded->warnings);
  return warm;
}

}  // namespace lockstep
