// SPDX-License-Identifier: Apache-2.0
#include "bench/kernel_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/base/check.h"
#include "core/base/rng.h"

namespace lockstep {

std::vector<float> bench_input(int64_t size, uint64_t seed) {
  const RngStream stream(seed, RngPurpose::kTest, 0, 0);
  std::vector<float> values(static_cast<size_t>(size));
  for (size_t i = 0; i < values.size(); i += 4) {
    const Philox::Block block = stream.quad(static_cast<uint32_t>(i / 4));
    for (size_t j = i; j < std::min(i + 4, values.size()); ++j) {
      values[j] = 2 * RngStream::to_uniform(block[j - i]) - 1;
    }
  }
  return values;
}

absl::Status check_close(std::span<const float> expected, std::span<const float> got, float tolerance) {
  LOCKSTEP_CHECK_EQ(expected.size(), got.size());
  float largest = 0;
  for (const float value : expected) largest = std::max(largest, std::abs(value));
  const float allowed = tolerance * largest;
  for (size_t i = 0; i < expected.size(); ++i) {
    // Written so that a NaN is a difference.
    if (!(std::abs(expected[i] - got[i]) <= allowed)) {
      return absl::DataLossError(
          fmt::format("element {}: expected {}, got {} (tolerance {})", i, expected[i], got[i], allowed));
    }
  }
  return absl::OkStatus();
}

absl::Status check_same_bits(std::span<const float> expected, std::span<const float> got) {
  LOCKSTEP_CHECK_EQ(expected.size(), got.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::bit_cast<uint32_t>(expected[i]) == std::bit_cast<uint32_t>(got[i])) continue;
    return absl::DataLossError(fmt::format("element {}: one thread says {}, several say {}", i, expected[i], got[i]));
  }
  return absl::OkStatus();
}

}  // namespace lockstep
