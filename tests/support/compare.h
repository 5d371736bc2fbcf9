// SPDX-License-Identifier: Apache-2.0
// Compares an output with the oracle's. An element is good only if |expected - got| <= tol, so that a NaN on either
// side of the comparison is never good by accident. Where the expected value is NaN or infinite, the same is required.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace lockstep {

// What a failure report needs to know beside the numbers.
struct CompareContext {
  std::string what;           // "grad_w"
  std::vector<int64_t> dims;  // row-major; the worst index is printed over them
  std::string shape;          // of the case
  std::string backend;        // "simd/AVX2"
  uint64_t seed = 0;
  // An output in which one value has a larger share than this says nothing about the kernel: untrustworthy.
  double max_repeated = 0.9;
};

struct CompareReport {
  bool ok = false;
  bool trustworthy = true;
  int64_t outside = 0;  // elements beyond their tolerance
  int64_t worst = -1;   // the element that exceeds its tolerance most; -1 when none does
  std::string text;     // for a human; empty when ok
};

// tol[i] = c * FLT_EPSILON * scale[i] + FLT_MIN. The last term forgives a product that underflows.
std::vector<double> tolerances(double c, std::span<const float> scale);

// All three of one length; anything else is a failure, as is a tolerance that is negative or not finite.
CompareReport compare(std::span<const float> expected, std::span<const float> got, std::span<const double> tol,
                      const CompareContext& context);

// The same as an assertion: EXPECT_TRUE(close_to(...)).
::testing::AssertionResult close_to(std::span<const float> expected, std::span<const float> got,
                                    std::span<const double> tol, const CompareContext& context);

// Equal to the last bit. All NaNs are one: which operand's payload an instruction passes on is up to the compiler.
::testing::AssertionResult same_bits(std::span<const float> expected, std::span<const float> got,
                                     const CompareContext& context);

// "(1, 0, 13, 2)" for a flat index into dims.
std::string format_index(int64_t index, std::span<const int64_t> dims);

// The command that runs the current test alone.
std::string rerun_command();

}  // namespace lockstep
