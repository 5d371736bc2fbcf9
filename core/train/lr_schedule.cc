// SPDX-License-Identifier: Apache-2.0
#include "core/train/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lockstep {

float learning_rate_at(const TrainConfig& config, int64_t step) {
  const double rate = config.learning_rate;
  if (step < config.warmup_steps) {
    return static_cast<float>(rate * static_cast<double>(step + 1) / static_cast<double>(config.warmup_steps));
  }
  if (config.lr_schedule == "constant") return static_cast<float>(rate);
  const double length = static_cast<double>(std::max<int64_t>(1, config.train_steps - config.warmup_steps));
  const double progress = std::min(1.0, static_cast<double>(step - config.warmup_steps) / length);
  return static_cast<float>(config.lr_final +
                            0.5 * (rate - config.lr_final) * (1 + std::cos(std::numbers::pi * progress)));
}

}  // namespace lockstep
