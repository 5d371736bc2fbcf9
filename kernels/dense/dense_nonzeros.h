// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace lockstep {

// The inputs of one example that are not zero, in order. Not owned.
struct NonZeros {
  int32_t* rows;  // the number of each, which is its row of weights; behind the last, zeros for whoever looks ahead
  float* values;
  int32_t* ends;  // how many there are up to the end of each chunk of inputs
};

}  // namespace lockstep
