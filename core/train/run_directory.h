// SPDX-License-Identifier: Apache-2.0
// The text files that --output_dir holds beside checkpoints: config.yaml (the resolved configuration), model.yaml (the
// network with every default written out) and data.yaml (the size of the training set, on which its order depends).
#pragma once

#include <string>

#include "core/base/status.h"
#include "core/nn/model_config.h"
#include "core/train/train_config.h"

namespace lockstep {

// An error when `output_dir` holds checkpoints of a run whose arithmetic this configuration would not continue: lists
// every difference, saved and now. OK when it holds none.
absl::Status check_continues_run(const TrainConfig& config, const ModelConfig& model, int64_t train_examples);

// Writes the three files.
absl::Status write_run_files(const TrainConfig& config, const ModelConfig& model, int64_t train_examples);

}  // namespace lockstep
