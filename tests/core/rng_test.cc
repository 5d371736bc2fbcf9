// SPDX-License-Identifier: Apache-2.0
#include "core/base/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace lockstep {
namespace {

// Known answers of the authors' Random123 distribution.
TEST(Philox, MatchesTheKnownAnswers) {
  using Block = Philox::Block;
  EXPECT_EQ(Philox::block({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t ones = 0xffffffff;
  EXPECT_EQ(Philox::block({ones, ones, ones, ones}, {ones, ones}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox::block({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RngStream, ANumberIsTheSameAloneOrInItsQuad) {
  const RngStream stream(7, RngPurpose::kTest, 123, 45);
  for (uint32_t quad = 0; quad < 10; ++quad) {
    for (uint32_t i = 0; i < 4; ++i) EXPECT_EQ(stream.bits(4 * quad + i), stream.quad(quad)[i]);
  }
}

TEST(RngStream, EveryPartOfTheKeyMatters) {
  std::set<uint32_t> seen;
  const uint64_t high = uint64_t{1} << 32;
  for (const uint64_t seed : {uint64_t{1}, uint64_t{2}, high + 1}) {
    for (const RngPurpose purpose : {RngPurpose::kInit, RngPurpose::kDropout}) {
      for (const uint64_t step : {uint64_t{0}, uint64_t{1}, high}) {
        for (const uint32_t example : {0u, 1u}) {
          for (const uint32_t element : {0u, 1u, 4u}) {
            seen.insert(RngStream(seed, purpose, step, example).bits(element));
          }
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), 3u * 2 * 3 * 2 * 3);
}

TEST(RngStream, UniformNumbersLieInTheHalfOpenIntervalWithTheRightMoments) {
  EXPECT_EQ(RngStream::to_uniform(0), 0.0f);
  EXPECT_LT(RngStream::to_uniform(0xffffffff), 1.0f);
  const RngStream stream(1, RngPurpose::kTest, 0, 0);
  const int n = 100000;
  double sum = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    const double u = stream.uniform(static_cast<uint32_t>(i));
    sum += u;
    squares += u * u;
  }
  // Five standard deviations of the means.
  EXPECT_NEAR(sum / n, 1.0 / 2, 5 * std::sqrt(1.0 / 12 / n));
  EXPECT_NEAR(squares / n, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / n));
}

}  // namespace
}  // namespace lockstep
