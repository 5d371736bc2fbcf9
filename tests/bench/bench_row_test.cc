// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_row.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

BenchRow example() {
  BenchRow row = BenchRow::here("train", "Lockstep");
  row.backend = "simd AVX2";
  row.shape = "batch 100";
  row.ranks = 2;
  row.threads = 3;
  row.set_time({.median = 0.025, .spread = 0.125, .best = 0.02, .count = 9});
  row.images_per_s = 4000;
  row.percent_of_peak = 58.5;
  return row;
}

TEST(Summary, TakesMiddleAndQuartiles) {
  const Summary odd = summarize({5, 1, 3, 2, 4});
  EXPECT_DOUBLE_EQ(odd.median, 3);
  EXPECT_DOUBLE_EQ(odd.spread, (4.0 - 2.0) / 3.0);
  EXPECT_DOUBLE_EQ(odd.best, 1);
  EXPECT_EQ(odd.count, 5);
  EXPECT_DOUBLE_EQ(summarize({1, 2}).median, 1.5);
  EXPECT_DOUBLE_EQ(summarize({7}).spread, 0);
}

TEST(BenchRow, SurvivesJson) {
  const BenchRow row = example();
  const absl::StatusOr<BenchRow> back = parse_bench_row(to_json(row));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(to_json(*back), to_json(row));
  EXPECT_EQ(back->name, "Lockstep");
  EXPECT_EQ(back->threads, 3);
  EXPECT_EQ(back->images_per_s, 4000);
  EXPECT_FALSE(back->gbytes_per_s.has_value());
}

TEST(BenchRow, FailedOneSaysNothingOfHowFast) {
  BenchRow row = example();
  row.fail("element 3 is wrong");
  const std::vector<BenchRow> rows = {example(), row};
  EXPECT_THAT(to_text(rows), HasSubstr("FAILED"));
  EXPECT_THAT(to_text({&rows[1], 1}), Not(HasSubstr("images/s")));
  const absl::StatusOr<BenchRow> back = parse_bench_row(to_json(row));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->failure, "element 3 is wrong");
  EXPECT_EQ(back->median_s, 0);
  EXPECT_FALSE(back->images_per_s.has_value());
  EXPECT_TRUE(failures_of({rows.data(), 1}).ok());
  EXPECT_THAT(std::string(failures_of(rows).message()), HasSubstr("Lockstep simd AVX2 batch 100: element 3 is wrong"));
}

TEST(BenchRow, TellsGoals) {
  BenchRow goal = BenchRow::here("serve goal", "start to ready");
  goal.measured = "301 ms";
  goal.goal = "< 300 ms";
  goal.met = false;
  BenchRow request = BenchRow::here("serve", "Lockstep");
  request.p99_s = 0.002;
  for (const BenchRow& row : {goal, request}) {
    const absl::StatusOr<BenchRow> back = parse_bench_row(to_json(row));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(to_json(*back), to_json(row));
    EXPECT_EQ(back->met, row.met);
    EXPECT_EQ(back->measured, row.measured);
    EXPECT_EQ(back->p99_s, row.p99_s);
  }
  EXPECT_THAT(to_text({&goal, 1}), HasSubstr("301 ms  < 300 ms   NO"));
  EXPECT_THAT(to_text({&request, 1}), HasSubstr("2.00 ms"));
  goal.fail("no answer");
  EXPECT_EQ(goal.met, std::nullopt);
  EXPECT_EQ(goal.measured, "");
}

TEST(BenchRow, NamesMachineAndCommit) {
  const BenchRow row = example();
  EXPECT_FALSE(row.commit.empty());
  EXPECT_FALSE(row.cpu.empty());
  EXPECT_GE(row.cores, 1);
}

TEST(BenchRow, RejectsWhatIsNoRow) {
  for (const char* text : {"", "{", "[]", "3", R"({"bench": "train"})", R"({"bench": 3})"}) {
    EXPECT_EQ(parse_bench_row(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(BenchRow, TextLeavesOutColumnsThatNoRowFills) {
  const std::vector<BenchRow> rows = {example()};
  const std::string text = to_text(rows);
  EXPECT_THAT(text, HasSubstr("images/s"));
  EXPECT_THAT(text, HasSubstr("25.00 ms"));
  EXPECT_THAT(text, HasSubstr("58.5 %"));
  EXPECT_THAT(text, Not(HasSubstr("GB/s")));
}

}  // namespace
}  // namespace lockstep
