// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/nn/model.h"
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

TEST_F(MemoryPlanTest, ModelThatNeverFitsSaysSo) {
  EXPECT_THAT(std::string(check_memory(network_, config_, 1, 1, 1 << 20).message()),
              HasSubstr("the model is too large"));
}

}  // namespace
}  // namespace lockstep
