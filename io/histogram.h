// SPDX-License-Identifier: Apache-2.0
// Histograms of values, in TensorFlow's default buckets.
#pragma once

#include <span>
#include <vector>

namespace lockstep {

struct Histogram {
  double min = 0, max = 0, count = 0, sum = 0, sum_squares = 0;
  // Bucket i counts the values in [limits[i - 1], limits[i]); the first one starts at or below min. Runs of empty
  // buckets are merged into one; the outermost buckets are never empty.
  std::vector<double> limits;
  std::vector<double> buckets;
};

// ±1e-12 * 1.1^k below 1e20, 0, and ± the largest double: increasing.
const std::vector<double>& default_bucket_limits();

// Non-finite values are left out; without finite values everything is empty.
Histogram make_histogram(std::span<const float> values);

}  // namespace lockstep
