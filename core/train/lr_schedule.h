// SPDX-License-Identifier: Apache-2.0
// The learning rate of a step, a function of configuration and step alone.
#pragma once

#include <cstdint>

#include "core/train/train_config.h"

namespace lockstep {

// Warm-up: learning_rate * (step + 1) / warmup_steps for the first warmup_steps steps (step counts from 0). Then
// constant, or a half cosine from learning_rate down to lr_final at train_steps.
float learning_rate_at(const TrainConfig& config, int64_t step);

}  // namespace lockstep
