// SPDX-License-Identifier: Apache-2.0
#include "mpi/grad_shards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ShardRange, TilesEveryBucketInRankOrderAtAlignedCuts) {
  for (const Bucket bucket : {Bucket{0, 1}, Bucket{0, 16}, Bucket{32, 1000}, Bucket{7, 999}, Bucket{160, 3200}}) {
    for (int ranks = 1; ranks <= 9; ++ranks) {
      int64_t at = bucket.offset;
      for (int rank = 0; rank < ranks; ++rank) {
        const Bucket shard = shard_range(bucket, rank, ranks);
        EXPECT_EQ(shard.offset, at);
        EXPECT_GE(shard.size, 0);
        EXPECT_LT(shard.size, bucket.size / ranks + 2 * kShardGranule);
        if (shard.offset != bucket.offset && shard.offset != bucket.offset + bucket.size) {
          EXPECT_EQ(shard.offset % kShardGranule, 0);
        }
        at += shard.size;
      }
      EXPECT_EQ(at, bucket.offset + bucket.size);
    }
  }
}

TEST(GradPlan, GivesEachRankItsAlignedSubtrees) {
  const auto plan = make_grad_plan(1, 3, 8, 100, {{40, 60}, {0, 40}});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->stride, 112);
  EXPECT_THAT(plan->subtrees, ElementsAre(ElementsAre(2), ElementsAre(2, 1), ElementsAre(1, 2)));
  EXPECT_EQ(plan->gradient_floats(1), 224);
}

TEST(GradPlan, RefusesMoreRanksThanSlices) {
  const auto plan = make_grad_plan(0, 9, 8, 16, {{0, 16}});
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr("9 ranks share 8 gradient slices"));
}

TEST(GradPlan, RefusesSlicesThatAreNoPowerOfTwo) {
  EXPECT_FALSE(make_grad_plan(0, 1, 6, 16, {{0, 16}}).ok());
  EXPECT_FALSE(make_grad_plan(0, 1, 0, 16, {{0, 16}}).ok());
}

TEST(GradPlan, RefusesBucketsThatDoNotTile) {
  EXPECT_FALSE(make_grad_plan(0, 1, 8, 32, {{0, 16}}).ok());
  EXPECT_FALSE(make_grad_plan(0, 1, 8, 32, {{0, 16}, {8, 24}}).ok());
  EXPECT_FALSE(make_grad_plan(0, 1, 8, 32, {{0, 32}, {32, 0}}).ok());
  EXPECT_TRUE(make_grad_plan(0, 1, 8, 32, {{16, 16}, {0, 16}}).ok());
}

}  // namespace
}  // namespace lockstep
