// SPDX-License-Identifier: Apache-2.0
// What Lockstep predicts for a whole test set.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

struct Predictions {
  std::vector<int64_t> classes;      // (N)
  std::vector<float> probabilities;  // (N, C)
};

// `model`: whatever load_trained_model() takes. `directory`: a data directory, of which the test split is read.
absl::StatusOr<Predictions> predict_test_images(const std::string& model, const std::string& directory);

}  // namespace lockstep
