// SPDX-License-Identifier: Apache-2.0
#include "bench/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Report, ReplacesWhatIsBetweenTheMarkersOnly) {
  const std::string document = "before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter\n";
  const absl::StatusOr<std::string> updated = replace_report(document, "new\n");
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(*updated, "before\n<!-- bench:begin -->\nnew\n<!-- bench:end -->\nafter\n");
  EXPECT_EQ(*replace_report(*updated, "new\n"), *updated);
}

TEST(Report, WantsBothMarkersOnceAndInOrder) {
  for (const char* document :
       {"", "<!-- bench:begin -->", "<!-- bench:end -->", "<!-- bench:end -->\n<!-- bench:begin -->",
        "<!-- bench:begin --><!-- bench:end --><!-- bench:begin --><!-- bench:end -->"}) {
    EXPECT_FALSE(replace_report(document, "new").ok()) << document;
  }
}

TEST(Report, SaysWhichRowsFailed) {
  BenchRow row = BenchRow::here("gpu kernel", "conv2d_fwd");
  row.fail("wrong");
  EXPECT_THAT(to_markdown({&row, 1}), HasSubstr("| conv2d_fwd | 1 × 1 | FAILED |"));
}

TEST(Report, MakesOneTablePerKindOfRow) {
  BenchRow train = BenchRow::here("train", "Lockstep"), peak = BenchRow::here("peak", "fused multiply-add");
  train.images_per_s = 4000.4;
  peak.gflops = 565;
  const std::vector<BenchRow> rows = {train, peak, train};
  const std::string text = to_markdown(rows);
  EXPECT_THAT(text, HasSubstr("| what | ranks × threads | images/s |\n|---|---|---|\n"
                              "| Lockstep | 1 × 1 | 4000 |\n| Lockstep | 1 × 1 | 4000 |\n"));
  EXPECT_THAT(
      text, HasSubstr("| what | ranks × threads | GFLOP/s |\n|---|---|---|\n| fused multiply-add | 1 × 1 | 565.0 |\n"));
  EXPECT_THAT(text, HasSubstr(peak.cpu));
  EXPECT_THAT(text, Not(HasSubstr("GB/s")));
}

}  // namespace
}  // namespace lockstep
