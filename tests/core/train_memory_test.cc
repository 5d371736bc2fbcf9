// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/nn/model.h"
#include "core/train/exchange.h"
#include "core/train/memory_plan.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

class MemoryPlanTest : public testing::Test {
 protected:
  Network network_ = *Network::build(*parse_model_config(
      "image: {height: 28, width: 28}\nclasses: 10\nlayers: [{dense: {units: 1024}}, {dense: {units: 10}}]", "m"));
  TrainConfig config_;
};

TEST_F(MemoryPlanTest, RanksShareTheBatchAndOnlyRank0Writes) {
  config_.train_batch_size = 8000;
  const MemoryPlan whole = plan_memory(network_, config_, 0, 1);
  const MemoryPlan part = plan_memory(network_, config_, 1, 4);
  EXPECT_NEAR(static_cast<double>(whole.activations), 4.0 * static_cast<double>(part.activations), 4096);  // alignment
  EXPECT_EQ(whole.batches, 4 * part.batches);
  EXPECT_EQ(part.checkpoint, 0);
  EXPECT_EQ(part.moments, 2 * part.weights);
}

// 8 slices on 3 ranks: rank 1 owns slices 2, 3 and 4: the subtree {2, 3} and the slice {4}.
TEST_F(MemoryPlanTest, EveryPartialSumNeedsItsGradient) {
  EXPECT_EQ(plan_memory(network_, config_, 0, 1).gradients, plan_memory(network_, config_, 0, 1).weights);
  EXPECT_EQ(plan_memory(network_, config_, 1, 3).gradients, 2 * plan_memory(network_, config_, 1, 3).weights);
}

// 8 slices on 3 ranks: 2, 3 and 3 slices in 1, 2 and 2 partial sums. Rank 0 has the smallest share.
TEST_F(MemoryPlanTest, EveryRankOfTheHostCountsWithItsOwnShare) {
  config_.train_batch_size = 100000;
  int64_t need = 0;
  for (int rank = 0; rank < 3; ++rank) need += plan_memory(network_, config_, rank, 3).total();
  const int64_t like_rank_0 = 3 * plan_memory(network_, config_, 0, 3).total();
  ASSERT_GT(need, like_rank_0 * 5 / 4);
  EXPECT_FALSE(check_memory(network_, config_, 3, 3, like_rank_0).ok());
  EXPECT_FALSE(check_memory(network_, config_, 3, 3, need - 1).ok());
  EXPECT_TRUE(check_memory(network_, config_, 3, 3, need).ok());
}

TEST_F(MemoryPlanTest, OfAFewRanksOnAHostTheLargestCount) {
  config_.train_batch_size = 100000;
  config_.transport = "shm";
  const int64_t need = plan_memory(network_, config_, 1, 3).total() + plan_memory(network_, config_, 2, 3).total();
  EXPECT_FALSE(check_memory(network_, config_, 3, 2, need - 1).ok());
  EXPECT_TRUE(check_memory(network_, config_, 3, 2, need).ok());
}

// On 3 ranks each receives the partial sums of the others, 3 or 4 of all 5, for about a third of the parameters.
TEST_F(MemoryPlanTest, MessagesNeedRoomForPartialSumsOfOthers) {
  EXPECT_EQ(plan_memory(network_, config_, 0, 3).messages, 0);
  const auto weights = static_cast<double>(plan_memory(network_, config_, 0, 3).weights);
  EXPECT_NEAR(static_cast<double>(plan_memory(network_, config_, 0, 3, true).messages), weights * 4 / 3, 4096);
  EXPECT_NEAR(static_cast<double>(plan_memory(network_, config_, 1, 3, true).messages), weights * 3 / 3, 4096);
  int64_t need = 0;
  for (int rank = 0; rank < 3; ++rank) need += plan_memory(network_, config_, rank, 3).total();
  EXPECT_TRUE(check_memory(network_, config_, 3, 3, need).ok());
  config_.transport = "mpi";
  EXPECT_FALSE(check_memory(network_, config_, 3, 3, need).ok());
}

// The first layer has so many weights that its operands travel. Packed for the update are the output gradients of the
// whole batch, however many ranks share it; 1024 of them fill whole vectors.
TEST_F(MemoryPlanTest, UpdateFromOperandsNeedsTheWholeBatchOnEveryRank) {
  constexpr int64_t kPacked = 100 * 1024 * static_cast<int64_t>(sizeof(float));
  config_.train_batch_size = 100;
  EXPECT_EQ(plan_memory(network_, config_, 0, 1).update, kPacked);
  for (const int rank : {0, 1, 2}) EXPECT_EQ(plan_memory(network_, config_, rank, 3).update, kPacked) << rank;
  MemoryPlan without = plan_memory(network_, config_, 0, 1);
  without.update = 0;
  EXPECT_FALSE(check_memory(network_, config_, 1, 1, without.total()).ok());
  EXPECT_TRUE(check_memory(network_, config_, 1, 1, without.total() + kPacked).ok());
}

TEST_F(MemoryPlanTest, UpdateFromPartialSumsNeedsNoRoom) {
  config_.train_batch_size = 100;
  EXPECT_EQ(plan_memory(network_, config_, 0, 2, /*by_messages=*/true).update, 0);
  config_.train_batch_size = 1000;  // more operands than weights
  EXPECT_EQ(plan_memory(network_, config_, 0, 1).update, 0);
  config_.train_batch_size = 100;
  config_.device = "cuda";
  EXPECT_EQ(plan_memory(network_, config_, 0, 1).update, 0);
}

TEST_F(MemoryPlanTest, OperandsTravelOnlyWhereAllRanksShareMemory) {
  config_.train_batch_size = 100;
  const auto give = [&](int ranks, int local_ranks) {
    return layers_to_give_operands(network_, config_, ranks, sends_messages(config_, ranks, local_ranks));
  };
  using ::testing::ElementsAre;
  using ::testing::IsEmpty;
  EXPECT_THAT(give(1, 1), ElementsAre(true, false));
  EXPECT_THAT(give(2, 2), ElementsAre(true, false));
  EXPECT_THAT(give(2, 1), IsEmpty());
  config_.transport = "shm";
  EXPECT_THAT(give(2, 2), ElementsAre(true, false));
  config_.transport = "mpi";
  EXPECT_THAT(give(2, 2), IsEmpty());
  EXPECT_THAT(give(1, 1), ElementsAre(true, false));  // alone, whatever is asked for
}

TEST_F(MemoryPlanTest, TooLittleMemoryNamesNeedAvailableAndTheLargestBatch) {
  config_.train_batch_size = 1000000;
  const int64_t available = int64_t{200} << 20;
  const absl::Status status = check_memory(network_, config_, 2, 2, available);
  ASSERT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  const std::string message(status.message());
  EXPECT_THAT(message, HasSubstr("--train_batch_size=1000000 needs"));
  EXPECT_THAT(message, HasSubstr("200 MiB are available"));
  const std::string before = "fits is ";
  config_.train_batch_size = std::stoll(message.substr(message.rfind(before) + before.size()));
  EXPECT_GT(config_.train_batch_size, 1);
  EXPECT_TRUE(check_memory(network_, config_, 2, 2, available).ok());
  ++config_.train_batch_size;
  EXPECT_FALSE(check_memory(network_, config_, 2, 2, available).ok());
}

TEST_F(MemoryPlanTest, DataSetsLeaveHalfOfTheRanksShareToTraining) {
  constexpr int64_t kGiB = int64_t{1} << 30;
  EXPECT_EQ(resident_data_limit(config_, 1, 64 * kGiB), config_.dataset_memory_limit);
  EXPECT_EQ(resident_data_limit(config_, 8, 4 * kGiB), kGiB / 4);
  config_.dataset_memory_limit = 1000;
  EXPECT_EQ(resident_data_limit(config_, 8, 4 * kGiB), 1000);
}

TEST_F(MemoryPlanTest, ModelThatNeverFitsSaysSo) {
  EXPECT_THAT(std::string(check_memory(network_, config_, 1, 1, 1 << 20).message()),
              HasSubstr("the model is too large"));
}

}  // namespace
}  // namespace lockstep
