// SPDX-License-Identifier: Apache-2.0
#include "tests/support/grad_check.h"

#include <fmt/format.h>

#include <cmath>

#include "core/base/check.h"
#include "tests/support/compare.h"

namespace lockstep {
namespace {

struct Slopes {
  double left = 0, right = 0, central = 0;
};

// Divides by the steps that float really took.
Slopes slopes_at(float& x, double step, double middle, absl::FunctionRef<double()> loss) {
  const float origin = x;
  x = static_cast<float>(double{origin} + step);
  const double step_right = double{x} - double{origin}, right = loss();
  x = static_cast<float>(double{origin} - step);
  const double step_left = double{origin} - double{x}, left = loss();
  x = origin;
  return {(middle - left) / step_left, (right - middle) / step_right, (right - left) / (step_left + step_right)};
}

}  // namespace

::testing::AssertionResult gradient_matches(std::span<float> x, std::span<const float> gradient,
                                            absl::FunctionRef<double()> loss, const GradCheckOptions& options) {
  LOCKSTEP_CHECK_EQ(x.size(), gradient.size());
  const double middle = loss();
  size_t skipped = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const Slopes slopes = slopes_at(x[i], options.step, middle, loss);
    if (std::abs(slopes.right - slopes.left) > options.kink) {
      ++skipped;
      continue;
    }
    const double tol = options.tolerance * (1 + std::abs(slopes.central));
    if (std::abs(gradient[i] - slopes.central) <= tol) continue;
    return ::testing::AssertionFailure() << fmt::format(
               "{}[{}]: gradient {:.9g}, central difference {:.9g} (left {:.9g}, right {:.9g}), tol {:.3g}\n  rerun: "
               "{}",
               options.what, i, gradient[i], slopes.central, slopes.left, slopes.right, tol, rerun_command());
  }
  if (static_cast<double>(skipped) > options.max_skipped * static_cast<double>(x.size())) {
    return ::testing::AssertionFailure() << fmt::format("{}: {} of {} elements sit on a kink, too many to tell\n",
                                                        options.what, skipped, x.size());
  }
  return ::testing::AssertionSuccess();
}

double weighted_sum(std::span<const float> weights, std::span<const float> values) {
  LOCKSTEP_CHECK_EQ(weights.size(), values.size());
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) sum += double{weights[i]} * double{values[i]};
  return sum;
}

}  // namespace lockstep
