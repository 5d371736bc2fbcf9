// SPDX-License-Identifier: Apache-2.0
// The SavedModel at the end of a run: <output_dir>/export/Servo/<unix seconds>, where the tutorial has it.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "core/nn/model_config.h"
#include "core/nn/network.h"
#include "core/train/train_config.h"

namespace lockstep {

// Exports the weights of `global_step` and logs where to, unless the newest export holds just these: a finished run
// that is started again gives servers nothing new. An error says that the run is safe, and how to try again.
absl::Status export_run(const TrainConfig& config, const ModelConfig& model, const Network& network,
                        const float* weights, int64_t global_step);

}  // namespace lockstep
