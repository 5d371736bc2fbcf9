// SPDX-License-Identifier: Apache-2.0
#include "tests/support/compare.h"

#include <errno.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <limits>

namespace lockstep {
namespace {

// Fewer elements than this may well be equal by chance.
constexpr size_t kFewElements = 16;

// How far an element is beyond its tolerance: 0 is good, larger is worse, infinite when there is no measure.
double excess(float expected, float got, double tol) {
  if (std::isnan(expected)) return std::isnan(got) ? 0 : std::numeric_limits<double>::infinity();
  if (std::isinf(expected)) return got == expected ? 0 : std::numeric_limits<double>::infinity();
  const double diff = std::abs(double{expected} - double{got});
  if (diff <= tol) return 0;
  return std::isfinite(diff) ? diff / std::max(tol, DBL_MIN) : std::numeric_limits<double>::infinity();
}

// Both zeros are one value.
uint32_t canonical_bits(float value) { return std::bit_cast<uint32_t>(value == 0 ? 0.0f : value); }

// The share of the most frequent value.
double repeated_share(std::span<const float> values) {
  std::vector<uint32_t> bits;
  for (const float value : values) bits.push_back(canonical_bits(value));
  std::sort(bits.begin(), bits.end());
  size_t longest = 0;
  for (auto at = bits.begin(); at != bits.end();) {
    const auto end = std::upper_bound(at, bits.end(), *at);
    longest = std::max(longest, static_cast<size_t>(end - at));
    at = end;
  }
  return values.empty() ? 0 : static_cast<double>(longest) / static_cast<double>(values.size());
}

// Never below repeated_share(), and found without sorting: the share of the most frequent upper half of a value.
double repeated_share_bound(std::span<const float> values) {
  std::vector<uint32_t> counts(1 << 16);
  uint32_t most = 0;
  for (const float value : values) most = std::max(most, ++counts[canonical_bits(value) >> 16]);
  return values.empty() ? 0 : static_cast<double>(most) / static_cast<double>(values.size());
}

bool repeats_more_than(std::span<const float> values, double share) {
  constexpr size_t kSortedAtOnce = 10'000;
  return (values.size() < kSortedAtOnce || repeated_share_bound(values) > share) && repeated_share(values) > share;
}

std::string describe(const CompareContext& context) {
  return fmt::format("  shape {} | backend {} | seed {}\n  rerun: {}\n", context.shape, context.backend, context.seed,
                     rerun_command());
}

CompareReport failure(const CompareContext& context, std::string text) {
  CompareReport report;
  report.text = fmt::format("{}: {}\n{}", context.what, text, describe(context));
  return report;
}

// Where the expected value is not finite, the tolerance is not used.
bool valid_tolerances(std::span<const float> expected, std::span<const double> tol) {
  for (size_t i = 0; i < tol.size(); ++i) {
    const bool valid = tol[i] >= 0 && std::isfinite(tol[i]);
    if (!valid && std::isfinite(expected[i])) return false;
  }
  return true;
}

std::string describe_worst(std::span<const float> expected, std::span<const float> got, std::span<const double> tol,
                           const CompareContext& context, const CompareReport& report) {
  const size_t i = static_cast<size_t>(report.worst);
  return fmt::format("{} of {} elements outside; worst at {}: expected {:.9g}, got {:.9g}, diff {:.3g}, tol {:.3g}",
                     report.outside, expected.size(), format_index(report.worst, context.dims), expected[i], got[i],
                     std::abs(double{expected[i]} - double{got[i]}), tol[i]);
}

}  // namespace

std::vector<double> tolerances(double c, std::span<const float> scale) {
  std::vector<double> tol;
  for (const float s : scale) tol.push_back(c * double{FLT_EPSILON} * double{s} + double{FLT_MIN});
  return tol;
}

CompareReport compare(std::span<const float> expected, std::span<const float> got, std::span<const double> tol,
                      const CompareContext& context) {
  if (expected.size() != got.size() || expected.size() != tol.size()) {
    return failure(context, fmt::format("expected {} elements, got {}, with {} tolerances", expected.size(), got.size(),
                                        tol.size()));
  }
  if (!valid_tolerances(expected, tol)) return failure(context, "a tolerance is negative or not finite");
  CompareReport report;
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double e = excess(expected[i], got[i], tol[i]);
    if (e > 0) ++report.outside;
    if (e > worst) {
      worst = e;
      report.worst = static_cast<int64_t>(i);
    }
  }
  report.trustworthy = expected.size() < kFewElements || !(repeats_more_than(expected, context.max_repeated) ||
                                                           repeats_more_than(got, context.max_repeated));
  report.ok = report.outside == 0 && report.trustworthy;
  if (report.outside > 0) {
    report.text = failure(context, describe_worst(expected, got, tol, context, report)).text;
  } else if (!report.trustworthy) {
    const double repeated = std::max(repeated_share(expected), repeated_share(got));
    report.text = failure(context, fmt::format("untrustworthy: one value is {:.1f} % of the output, {:.1f} % expected",
                                               100 * repeated, 100 * context.max_repeated))
                      .text;
  }
  return report;
}

::testing::AssertionResult close_to(std::span<const float> expected, std::span<const float> got,
                                    std::span<const double> tol, const CompareContext& context) {
  const CompareReport report = compare(expected, got, tol, context);
  if (report.ok) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << report.text;
}

::testing::AssertionResult same_bits(std::span<const float> expected, std::span<const float> got,
                                     const CompareContext& context) {
  if (expected.size() != got.size()) {
    return ::testing::AssertionFailure()
           << failure(context, fmt::format("expected {} elements, got {}", expected.size(), got.size())).text;
  }
  int64_t different = 0, first = -1;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::bit_cast<uint32_t>(expected[i]) == std::bit_cast<uint32_t>(got[i])) continue;
    if (std::isnan(expected[i]) && std::isnan(got[i])) continue;
    if (different++ == 0) first = static_cast<int64_t>(i);
  }
  if (different == 0) return ::testing::AssertionSuccess();
  const size_t at = static_cast<size_t>(first);
  return ::testing::AssertionFailure()
         << failure(context,
                    fmt::format("{} of {} elements have other bits; first at {}: expected {:.9g} ({:08x}), got "
                                "{:.9g} ({:08x})",
                                different, expected.size(), format_index(first, context.dims), expected[at],
                                std::bit_cast<uint32_t>(expected[at]), got[at], std::bit_cast<uint32_t>(got[at])))
                .text;
}

std::string format_index(int64_t index, std::span<const int64_t> dims) {
  std::vector<int64_t> parts;
  for (auto dim = dims.rbegin(); dim != dims.rend() && *dim > 0; ++dim) {
    parts.insert(parts.begin(), dim + 1 == dims.rend() ? index : index % *dim);
    index /= *dim;
  }
  return parts.empty() ? fmt::format("({})", index) : fmt::format("({})", fmt::join(parts, ", "));
}

std::string rerun_command() {
  const ::testing::TestInfo* info = ::testing::UnitTest::GetInstance()->current_test_info();
  if (info == nullptr) return program_invocation_short_name;
  return fmt::format("{} --gtest_filter={}.{}", program_invocation_short_name, info->test_suite_name(), info->name());
}

}  // namespace lockstep
