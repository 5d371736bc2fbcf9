// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <vector>

#include "mpi/communicator.h"
#include "mpi/grad_reducer.h"

namespace lockstep {
namespace {

class LocalGradReducer : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = GradReducer::create(*communicator_, {.grad_slices = 4}, 40, {{24, 16}, {0, 24}});
    ASSERT_TRUE(made.ok()) << made.status();
    reducer_ = std::move(made).value();
  }
  std::unique_ptr<Communicator> communicator_ = make_local_communicator();
  std::unique_ptr<GradReducer> reducer_;
};

TEST_F(LocalGradReducer, GivesTheWholeBucketAsOneFullTerm) {
  EXPECT_EQ(reducer_->transport(), "local");
  EXPECT_EQ(reducer_->gradient_stride(), 48);
  reducer_->begin_step(5);
  ASSERT_TRUE(reducer_->start_reduce_scatter(0).ok());
  EXPECT_TRUE(reducer_->reduce_scatter_ready(0));
  const auto shard = reducer_->wait_reduce_scatter(0);
  ASSERT_TRUE(shard.ok());
  EXPECT_EQ(shard->begin, 24);
  EXPECT_EQ(shard->end, 40);
  ASSERT_EQ(shard->terms.size(), 1u);
  EXPECT_EQ(shard->terms[0].slices, 4);
  EXPECT_EQ(shard->terms[0].data, reducer_->gradients() + 24);
  EXPECT_EQ(reducer_->control(), 5u);
}

TEST_F(LocalGradReducer, GathersItsOwnShards) {
  std::vector<float> mine(40), full(40);
  for (size_t i = 0; i < mine.size(); ++i) mine[i] = static_cast<float>(i);
  ASSERT_TRUE(reducer_->gather_shards(mine.data(), full.data()).ok());
  EXPECT_EQ(mine, full);
  ASSERT_TRUE(reducer_->gather_shards(mine.data(), mine.data()).ok());
  EXPECT_EQ(mine, full);
}

TEST(LocalCommunicator, IsAJobOfOne) {
  const auto communicator = make_local_communicator();
  EXPECT_EQ(communicator->size(), 1);
  EXPECT_EQ(communicator->local_size(), 1);
  EXPECT_FALSE(communicator->host_of(0).empty());
  const auto all = communicator->all_gather("abc");
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(*all, std::vector<std::string>{"abc"});
}

TEST(LocalCommunicatorDeathTest, AbortNamesTheReasonAndExitsWithOne) {
  const auto communicator = make_local_communicator();
  EXPECT_EXIT(communicator->abort("disk on fire"), ::testing::ExitedWithCode(1), "disk on fire");
}

}  // namespace
}  // namespace lockstep
