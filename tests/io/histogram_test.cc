// SPDX-License-Identifier: Apache-2.0
#include "io/histogram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/rng.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// By binary search over all limits: what the quick search must agree with.
double searched_limit(float value) {
  const auto& limits = default_bucket_limits();
  return *std::upper_bound(limits.begin(), limits.end(), static_cast<double>(value));
}

TEST(Histogram, DefaultLimitsAreTensorFlows) {
  const auto& limits = default_bucket_limits();
  EXPECT_EQ(limits.size(), 1551u);
  EXPECT_EQ(limits.front(), -std::numeric_limits<double>::max());
  EXPECT_EQ(limits[limits.size() / 2], 0);
  EXPECT_EQ(limits[limits.size() / 2 + 1], 1.0e-12);
  EXPECT_EQ(limits[limits.size() / 2 + 2], 1.0e-12 * 1.1);
  EXPECT_TRUE(std::is_sorted(limits.begin(), limits.end()));
}

TEST(Histogram, EveryValueFallsIntoTheBucketThatASearchFinds) {
  std::vector<float> values = {0.0f,
                               -0.0f,
                               std::numeric_limits<float>::max(),
                               -std::numeric_limits<float>::max(),
                               std::numeric_limits<float>::denorm_min(),
                               std::numeric_limits<float>::min()};
  for (const double limit : default_bucket_limits()) {
    if (std::fabs(limit) > 1e30) continue;
    const auto near = static_cast<float>(limit);
    values.insert(values.end(), {near, std::nextafter(near, 1e30f), std::nextafter(near, -1e30f)});
  }
  const RngStream random(1, RngPurpose::kTest, 0, 0);
  for (uint32_t i = 0; i < 2000; ++i) values.push_back((random.uniform(i) - 0.5f) * 0.2f);
  for (const float value : values) {
    const Histogram histogram = make_histogram({&value, 1});
    ASSERT_EQ(histogram.limits.size(), 1u);
    EXPECT_EQ(histogram.limits[0], searched_limit(value)) << value;
  }
}

TEST(Histogram, EmptyRunsInsideAreMergedAndOutermostOnesLeftOut) {
  const Histogram histogram = make_histogram(std::vector<float>{-1, 5, 5});
  ASSERT_THAT(histogram.buckets, ElementsAre(1, 0, 2));
  EXPECT_GT(histogram.limits[0], -1);
  EXPECT_LE(histogram.limits[1], 5);
  EXPECT_GT(histogram.limits[2], 5);
  EXPECT_LT(histogram.limits[2], 6);
}

TEST(Histogram, StatisticsCoverFiniteValuesOnly) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const Histogram histogram = make_histogram(std::vector<float>{1, nan, -3, inf, -inf});
  EXPECT_EQ(histogram.count, 2);
  EXPECT_EQ(histogram.min, -3);
  EXPECT_EQ(histogram.max, 1);
  EXPECT_EQ(histogram.sum, -2);
  EXPECT_EQ(histogram.sum_squares, 10);
  EXPECT_EQ(std::accumulate(histogram.buckets.begin(), histogram.buckets.end(), 0.0), 2);
  EXPECT_THAT(make_histogram(std::vector<float>{nan, inf}).buckets, IsEmpty());
}

}  // namespace
}  // namespace lockstep
