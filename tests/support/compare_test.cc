// SPDX-License-Identifier: Apache-2.0
#include "tests/support/compare.h"

#include <gmock/gmock.h>

#include <cfloat>
#include <cmath>
#include <limits>

namespace lockstep {
namespace {

using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
const CompareContext kContext{"y", {2, 2}, "N2 C2", "simd/AVX2", 7};

CompareReport compare_within(const std::vector<float>& expected, const std::vector<float>& got, double tol,
                             const CompareContext& context = kContext) {
  return compare(expected, got, std::vector<double>(expected.size(), tol), context);
}

TEST(Compare, EqualValuesAreGoodEvenWithoutTolerance) {
  EXPECT_TRUE(compare_within({1, -2, 0, 4}, {1, -2, -0.0f, 4}, 0).ok);
}

TEST(Compare, EmptyOutputsAreGood) { EXPECT_TRUE(compare_within({}, {}, 0).ok); }

TEST(Compare, DifferenceUpToTheToleranceIsGood) {
  EXPECT_TRUE(compare_within({1, 2, 3, 4}, {1.5f, 2, 2.5f, 4}, 0.5).ok);
}

TEST(Compare, DifferenceBeyondTheToleranceIsBadInBothDirections) {
  EXPECT_FALSE(compare_within({1, 2, 3, 4}, {1, 2, 3.75f, 4}, 0.5).ok);
  EXPECT_FALSE(compare_within({1, 2, 3, 4}, {1, 2, 2.25f, 4}, 0.5).ok);
}

TEST(Compare, SignMatters) { EXPECT_FALSE(compare_within({-1, 2, 3, 4}, {1, 2, 3, 4}, 0.5).ok); }

TEST(Compare, NonFiniteIsBadWhereFiniteIsExpected) {
  for (const float bad : {kNan, -kNan, kInf, -kInf}) {
    const CompareReport report = compare_within({1, 2, 3, 4}, {1, bad, 3, 4}, 1e30);
    EXPECT_FALSE(report.ok) << bad;
    EXPECT_EQ(report.worst, 1) << bad;
    EXPECT_EQ(report.outside, 1) << bad;
  }
}

TEST(Compare, FiniteIsBadWhereNonFiniteIsExpected) {
  for (const float expected : {kNan, kInf, -kInf}) {
    EXPECT_FALSE(compare_within({1, expected, 3, 4}, {1, 2, 3, 4}, 1e30).ok) << expected;
  }
}

TEST(Compare, NonFiniteIsGoodWhereTheSameIsExpected) {
  EXPECT_TRUE(compare_within({kNan, kInf, -kInf, 4}, {kNan, kInf, -kInf, 4}, 0).ok);
}

TEST(Compare, InfinityOfTheOtherSignIsBad) {
  EXPECT_FALSE(compare_within({kInf, 1}, {-kInf, 1}, 1e30).ok);
  EXPECT_FALSE(compare_within({kInf, 1}, {kNan, 1}, 1e30).ok);
}

TEST(Compare, WrongLengthsAreBad) {
  EXPECT_FALSE(compare_within({1, 2, 3}, {1, 2}, 1).ok);
  EXPECT_FALSE(compare_within({1, 2}, {1, 2, 3}, 1).ok);
  EXPECT_FALSE(compare_within({}, {1}, 1).ok);
  EXPECT_FALSE(compare(std::vector<float>{1, 2}, std::vector<float>{1, 2}, std::vector<double>{1}, kContext).ok);
}

TEST(Compare, BadTolerancesAreBad) {
  for (const double tol : {std::nan(""), HUGE_VAL, -1.0}) EXPECT_FALSE(compare_within({1, 2}, {1, 2}, tol).ok) << tol;
}

TEST(Compare, MostlyConstantOutputsAreUntrustworthy) {
  std::vector<float> values(100, 0.0f);
  for (size_t i = 0; i < 5; ++i) values[i] = static_cast<float>(i + 1);
  const CompareReport zeros = compare_within(values, values, 1);
  EXPECT_FALSE(zeros.ok);
  EXPECT_FALSE(zeros.trustworthy);
  EXPECT_THAT(zeros.text, HasSubstr("untrustworthy"));

  const std::vector<float> sevens(100, 7.0f);
  EXPECT_FALSE(compare_within(sevens, sevens, 0).trustworthy);

  // Zeros of both signs are one value.
  for (size_t i = 5; i < 100; i += 2) values[i] = -0.0f;
  EXPECT_FALSE(compare_within(values, values, 1).trustworthy);
}

TEST(Compare, ConstantOutputIsUntrustworthyEvenUnderAWideTolerance) {
  std::vector<float> expected(100);
  for (size_t i = 0; i < 100; ++i) expected[i] = static_cast<float>(i);
  EXPECT_FALSE(compare_within(expected, std::vector<float>(100, 0.0f), 1e3).ok);
}

TEST(Compare, ContextSaysHowMuchRepetitionIsExpected) {
  CompareContext context = kContext;
  context.max_repeated = 1;
  const std::vector<float> zeros(100, 0.0f);
  EXPECT_TRUE(compare_within(zeros, zeros, 0, context).ok);
}

TEST(Compare, FewEqualElementsAreTrusted) { EXPECT_TRUE(compare_within({3, 3, 3, 3}, {3, 3, 3, 3}, 0).ok); }

TEST(Compare, ReportNamesTheWorstElementAndHowToRerun) {
  const CompareReport report = compare_within({1, 2, 3, 4}, {1.75f, 2, 3, 7}, 0.5);
  EXPECT_EQ(report.outside, 2);
  EXPECT_EQ(report.worst, 3);
  for (const char* part :
       {"y: 2 of 4 elements outside", "worst at (1, 1)", "expected 4, got 7", "diff 3", "tol 0.5", "N2 C2", "simd/AVX2",
        "seed 7", "--gtest_filter=Compare.ReportNamesTheWorstElementAndHowToRerun"}) {
    EXPECT_THAT(report.text, HasSubstr(part));
  }
}

TEST(Compare, WorstIsRelativeToTheTolerance) {
  const std::vector<float> expected{0, 0}, got{10, 1};
  EXPECT_EQ(compare(expected, got, std::vector<double>{9, 0.1}, kContext).worst, 1);
}

TEST(Compare, TolerancesScaleWithEpsilon) {
  const std::vector<double> tol = tolerances(4, std::vector<float>{0, 2});
  EXPECT_EQ(tol[0], double{FLT_MIN});
  EXPECT_EQ(tol[1], 8 * double{FLT_EPSILON} + double{FLT_MIN});
  EXPECT_FALSE(
      compare(std::vector<float>{1}, std::vector<float>{1}, tolerances(4, std::vector<float>{kNan}), kContext).ok);
}

TEST(SameBits, TellsZerosApartAndNansEqual) {
  EXPECT_TRUE(same_bits(std::vector<float>{1, kNan}, std::vector<float>{1, kNan}, kContext));
  EXPECT_FALSE(same_bits(std::vector<float>{0.0f}, std::vector<float>{-0.0f}, kContext));
  EXPECT_FALSE(same_bits(std::vector<float>{1}, std::vector<float>{1, 2}, kContext));
}

TEST(FormatIndex, CountsRowMajor) {
  const std::vector<int64_t> dims{2, 3, 4};
  EXPECT_EQ(format_index(0, dims), "(0, 0, 0)");
  EXPECT_EQ(format_index(23, dims), "(1, 2, 3)");
  EXPECT_EQ(format_index(5, {}), "(5)");
}

}  // namespace
}  // namespace lockstep
