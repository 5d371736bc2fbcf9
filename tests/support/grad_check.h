// SPDX-License-Identifier: Apache-2.0
// Compares a gradient with central differences, computed in double.
#pragma once

#include <gtest/gtest.h>

#include <limits>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"

namespace lockstep {

struct GradCheckOptions {
  std::string what;         // "grad_w"
  double step = 1.0 / 8;    // exact in float for inputs on the grid of fill_grid
  double tolerance = 1e-5;  // absolute, plus the same relative to the difference quotient
  // One-sided slopes that differ by more mean a kink (ReLU, maximum) within the step: no gradient to compare with, so
  // the element is skipped. Infinite for smooth functions.
  double kink = std::numeric_limits<double>::infinity();
  double max_skipped = 0.5;  // share of elements; more would leave nothing tested
};

// `x` is the operator's input, changed and restored one element at a time; `loss` runs the operator on it and returns a
// scalar; `gradient` is what the operator's backward pass says of d loss / d x.
::testing::AssertionResult gradient_matches(std::span<float> x, std::span<const float> gradient,
                                            absl::FunctionRef<double()> loss, const GradCheckOptions& options);

// sum_i weights[i] * values[i]: turns an output into a scalar whose gradient is `weights`.
double weighted_sum(std::span<const float> weights, std::span<const float> values);

}  // namespace lockstep
