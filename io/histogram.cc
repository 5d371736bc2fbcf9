// SPDX-License-Identifier: Apache-2.0
#include "io/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace lockstep {
namespace {

std::vector<double> positive_limits() {
  std::vector<double> limits;
  // Repeated multiplication, as TensorFlow does it: the same roundings give the same limits.
  for (double v = 1.0e-12; v < 1.0e20; v *= 1.1) limits.push_back(v);
  limits.push_back(std::numeric_limits<double>::max());
  return limits;
}

// Finds the bucket of a float in a few steps: a table by exponent and the three highest bits of the mantissa (a range
// no wider than 1.125, so two limits at most) says where to start. A binary search over 1,549 limits took most of the
// time of a summary.
class BucketFinder {
 public:
  BucketFinder() : positive_(positive_limits()), first_(size_t{1} << (31 - kShift)) {
    for (size_t i = 0; i < first_.size(); ++i) {
      const double lowest = std::bit_cast<float>(static_cast<uint32_t>(i << kShift));
      const auto at = std::lower_bound(positive_.begin(), positive_.end(), lowest);
      first_[i] = static_cast<int>(at - positive_.begin());
    }
  }

  // Index of the first limit above `value` among -positive reversed, 0, positive.
  size_t find(float value) const {
    const double magnitude = std::fabs(value);
    int c = first_[std::bit_cast<uint32_t>(std::fabs(value)) >> kShift];
    const int n = static_cast<int>(positive_.size());
    if (value < 0) {
      while (positive_[static_cast<size_t>(c)] < magnitude) ++c;
      return static_cast<size_t>(n - c);
    }
    while (positive_[static_cast<size_t>(c)] <= magnitude) ++c;  // ends: the last limit exceeds every float
    return static_cast<size_t>(n + 1 + c);
  }

 private:
  static constexpr int kShift = 20;
  const std::vector<double> positive_;
  std::vector<int> first_;
};

// Keeps the non-empty range and merges runs of empty buckets inside it.
void compress(const std::vector<double>& counts, Histogram& histogram) {
  const auto non_empty = [](double count) { return count > 0; };
  const auto first = std::find_if(counts.begin(), counts.end(), non_empty);
  const auto last = std::find_if(counts.rbegin(), counts.rend(), non_empty).base();
  for (auto it = first; it < last; ++it) {
    const double limit = default_bucket_limits()[static_cast<size_t>(it - counts.begin())];
    if (*it == 0 && histogram.buckets.back() == 0) {
      histogram.limits.back() = limit;
    } else {
      histogram.limits.push_back(limit);
      histogram.buckets.push_back(*it);
    }
  }
}

}  // namespace

const std::vector<double>& default_bucket_limits() {
  static const std::vector<double> limits = [] {
    const std::vector<double> positive = positive_limits();
    std::vector<double> all;
    for (auto it = positive.rbegin(); it != positive.rend(); ++it) all.push_back(-*it);
    all.push_back(0);
    all.insert(all.end(), positive.begin(), positive.end());
    return all;
  }();
  return limits;
}

Histogram make_histogram(std::span<const float> values) {
  static const BucketFinder finder;
  Histogram histogram;
  std::vector<double> counts(default_bucket_limits().size());
  float min = std::numeric_limits<float>::infinity(), max = -min;
  for (const float value : values) {
    if (!std::isfinite(value)) continue;
    counts[finder.find(value)] += 1;
    min = std::min(min, value);
    max = std::max(max, value);
    histogram.count += 1;
    histogram.sum += value;
    histogram.sum_squares += static_cast<double>(value) * value;
  }
  if (histogram.count == 0) return histogram;
  histogram.min = min;
  histogram.max = max;
  compress(counts, histogram);
  return histogram;
}

}  // namespace lockstep
