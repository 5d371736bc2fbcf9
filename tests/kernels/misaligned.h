// SPDX-License-Identifier: Apache-2.0
// No operator asks for alignment, and many have a faster path for arrays that have it: where that is chosen, each array
// must have been looked at.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/compare.h"

namespace lockstep {

// By how many elements each array is off a 64-byte boundary; see Guarded.
using Misalignment = std::vector<int>;

// run(misalignment) runs the operator on arrays that lie so and returns what it wrote; finite. Expects the same, within
// `tolerance`, with one array after the other one element off as with all arrays aligned.
template <class Run>
void expect_same_wherever_an_array_lies(size_t arrays, const Run& run, double tolerance = 0) {
  const std::vector<std::vector<float>> expected = run(Misalignment(arrays));
  for (size_t i = 0; i < arrays; ++i) {
    SCOPED_TRACE("array " + std::to_string(i));
    Misalignment misalignment(arrays);
    misalignment[i] = 1;
    const std::vector<std::vector<float>> got = run(misalignment);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t k = 0; k < got.size(); ++k) {
      CompareContext context;
      context.what = "output " + std::to_string(k);
      context.max_repeated = 1;
      EXPECT_TRUE(close_to(expected[k], got[k], std::vector<double>(expected[k].size(), tolerance), context));
    }
  }
}

}  // namespace lockstep
