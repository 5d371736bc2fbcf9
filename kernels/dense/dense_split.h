// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace lockstep {

// The inputs of all examples, and which of them are not zero in chunks, chunks of all examples behind each other. Not
// owned.
struct DenseSplit {
  static constexpr int kChunk = 64;  // as many inputs as a word has bits
  static int chunks(int inputs) { return (inputs + kChunk - 1) / kChunk; }

  const float* x;           // (N, inputs)
  const uint64_t* nonzero;  // (chunks, N): bit i, input i of the chunk is not zero
  int64_t count;            // of those bits
};

}  // namespace lockstep
