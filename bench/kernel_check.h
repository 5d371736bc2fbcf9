// SPDX-License-Identifier: Apache-2.0
// A kernel is timed only after its result agreed with the reference in the same run.
#pragma once

#include <span>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

// Numbers in [-1, 1), a function of index and seed.
std::vector<float> bench_input(int64_t size, uint64_t seed);

// OK when no element differs by more than `tolerance` times the largest expected one; a NaN differs from everything.
// DataLoss names the first that does. The sizes must be equal.
absl::Status check_close(std::span<const float> expected, std::span<const float> got, float tolerance);
// Float sums of any order against each other; with factors rounded to TF32 (11 bits) and bfloat16 (8 bits).
constexpr float kFloatTolerance = 1e-4f, kTf32Tolerance = 2e-3f, kBf16Tolerance = 1.6e-2f;

// DataLoss that names the first element whose bits differ. The sizes must be equal.
absl::Status check_same_bits(std::span<const float> expected, std::span<const float> got);

}  // namespace lockstep
