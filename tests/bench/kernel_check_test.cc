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

TEST(CheckAgainstReference, FindsWhatIsNotTheSameAndNan) {
  float simd_value = 2;
  const auto kernel = [&](const KernelContext& ctx, float* out) {
    out[0] = 1000;
    out[1] = ctx.backend == Backend::kRef ? 2.0f : simd_value;
    return absl::OkStatus();
  };
  EXPECT_TRUE(check_against_reference(2, kernel).ok());
  simd_value = 3;
  EXPECT_THAT(std::string(check_against_reference(2, kernel).message()), HasSubstr("element 1:"));
  simd_value = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(check_against_reference(2, kernel).ok());
}

}  // namespace
}  // namespace lockstep
