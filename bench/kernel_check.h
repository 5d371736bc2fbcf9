// SPDX-License-Identifier: Apache-2.0
// A kernel is timed only after its result agreed with the reference in the same run.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "kernels/backend.h"

namespace lockstep {

// Numbers in [-1, 1), a function of index and seed.
std::vector<float> bench_input(int64_t size, uint64_t seed);

// Runs `kernel` under the reference and under the SIMD backend, each into a zeroed output of `size` floats; OK when no
// element differs by more than 1e-4 of the largest one.
absl::Status check_against_reference(int64_t size,
                                     const std::function<absl::Status(const KernelContext&, float* out)>& kernel);

// DataLoss that names the first element whose bits differ. The sizes must be equal.
absl::Status check_same_bits(std::span<const float> expected, std::span<const float> got);

}  // namespace lockstep
