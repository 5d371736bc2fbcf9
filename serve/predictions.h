// SPDX-License-Identifier: Apache-2.0
// What a prediction answers, as text: gcloud's table and JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lockstep {

struct Predictions {
  int class_count = 0;
  std::vector<int64_t> classes;      // (examples)
  std::vector<float> probabilities;  // (examples, class_count)
};

// The table that gcloud prints: a column for each output, sorted by name, headed by the name in capitals.
std::string predictions_table(const Predictions& predictions);

// {"predictions": [{"classes": 7, "probabilities": […]}, …]}, one prediction a line, numbers as Python prints them.
std::string predictions_json(const Predictions& predictions);
// The same of predictions that are JSON already, each on a line of its own.
std::string predictions_json(const std::vector<std::string>& each);

}  // namespace lockstep
