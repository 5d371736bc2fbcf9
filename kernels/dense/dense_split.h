// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace lockstep {

// The inputs of all examples in chunks of 64, chunks of all examples behind each other. Not owned.
struct DenseSplit {
  const float* values;      // (chunks, N, 64), zero behind the last input
  const uint64_t* nonzero;  // (chunks, N): bit i, input i of the chunk is not zero
  int64_t count;            // of those bits
};

}  // namespace lockstep
