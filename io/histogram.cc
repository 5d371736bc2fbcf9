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

// Finds the bucket of a float without a search: among floats that agree in their upper 16 bits (sign, exponent, seven
// bits of mantissa: within 0.8 % of each other) lies at most one limit, as limits are 10 % apart. So a table of 2^16
// tells the bucket of the lowest of them and the limit above it. A binary search took most of the time of a summary.
class BucketFinder {
 public:
  BucketFinder() : bins_(size_t{1} << 16) {
    const std::vector<double>& limits = default_bucket_limits();
    const auto above = [&](float value) {
      return std::upper_bound(limits.begin(), limits.end(), static_cast<double>(value));
    };
    for (uint32_t i = 0; i < bins_.size(); ++i) {
      const float nearest_zero = std::bit_cast<float>(i << 16), farthest = std::bit_cast<float>(i << 16 | 0xffff);
      if (!std::isfinite(farthest)) continue;
      const auto first = above(std::min(nearest_zero, farthest));
      const bool has_limit = first != above(std::max(nearest_zero, farthest));
      bins_[i] = {static_cast<uint32_t>(first - limits.begin()),
                  has_limit ? round_up(*first) : std::numeric_limits<float>::infinity()};
    }
  }

  // Index of the first limit above a finite `value`.
  size_t find(float value) const {
    const Bin& bin = bins_[std::bit_cast<uint32_t>(value) >> 16];
    return bin.first + (value >= bin.next ? 1 : 0);
  }

 private:
  struct Bin {
    uint32_t first = 0;
    float next = 0;
  };

  // The smallest float that is not below: compares with floats as `limit` itself does.
  static float round_up(double limit) {
    const auto nearest = static_cast<float>(limit);
    return nearest < limit ? std::nextafter(nearest, std::numeric_limits<float>::infinity()) : nearest;
  }

  std::vector<Bin> bins_;
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
