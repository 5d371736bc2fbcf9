// SPDX-License-Identifier: Apache-2.0
// The text files that --output_dir holds beside checkpoints: config.yaml (the resolved configuration), model.yaml (the
// network with every default written out), data.yaml (run_data.h) and, of a run that began with the weights of another
// model, warm_start.yaml (their SHA-256).
#pragma once

#include <optional>
#include <string>

#include "core/base/status.h"
#include "core/nn/model_config.h"
#include "core/train/run_data.h"
#include "core/train/train_config.h"

namespace lockstep {

// An error when `output_dir` holds checkpoints of a run that this one would not continue, for it has other arithmetic,
// another network or other data: lists every difference, saved and now. OK when it holds none. `warm_start_sha256`: of
// the weights that --warm_start names,
// "" without it. A run that began so continues without the flag too, for its checkpoints hold what it learned since.
absl::Status check_continues_run(const TrainConfig& config, const ModelConfig& model, const RunData& data,
                                 const std::string& warm_start_sha256 = "");

// Writes the files. `warm_start_sha256`: as above for a run that begins, nothing for one that continues.
absl::Status write_run_files(const TrainConfig& config, const ModelConfig& model, const RunData& data,
                             const std::optional<std::string>& warm_start_sha256 = std::nullopt);

}  // namespace lockstep
