// SPDX-License-Identifier: Apache-2.0
#include "bench/kernel_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace lockstep {
namespace {

using ::testing::HasSubstr;

TEST(CheckSameBits, NamesTheFirstElementThatDiffers) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> expected = {0.0f, 1.0f, kNan};
  EXPECT_TRUE(check_same_bits(expected, expected).ok());
  const std::vector<float> other_zero = {-0.0f, 1.0f, kNan}, last_bit = {0.0f, std::nextafter(1.0f, 2.0f), kNan};
  EXPECT_THAT(std::string(check_same_bits(expected, other_zero).message()), HasSubstr("element 0:"));
  EXPECT_THAT(std::string(check_same_bits(expected, last_bit).message()), HasSubstr("element 1:"));
}

TEST(CheckClose, FindsWhatIsFurtherOffThanTheTolerance) {
  const std::vector<float> expected = {1000, 2};
  EXPECT_TRUE(check_close(expected, expected, 0).ok());
  EXPECT_TRUE(check_close(expected, std::vector<float>{1000, 2.05f}, 1e-4f).ok());
  EXPECT_THAT(std::string(check_close(expected, std::vector<float>{1000, 3}, 1e-4f).message()),
              HasSubstr("element 1:"));
}

TEST(CheckClose, NanIsNeverClose) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> finite = {1, 2}, nan = {1, kNan};
  EXPECT_FALSE(check_close(finite, nan, 1).ok());
  EXPECT_FALSE(check_close(nan, finite, 1).ok());
  EXPECT_FALSE(check_close(nan, nan, 1).ok());
}

}  // namespace
}  // namespace lockstep
