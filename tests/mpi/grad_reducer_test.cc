// SPDX-License-Identifier: Apache-2.0
#include "mpi/grad_reducer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "tests/mpi/reducer_scenario.h"
#include "tests/mpi/thread_ranks.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

// The error of each rank, "" where there is none.
std::vector<std::string> run_everywhere(int ranks, const std::function<absl::Status(Communicator&)>& body) {
  std::mutex mutex;
  std::vector<std::string> errors(static_cast<size_t>(ranks));
  run_thread_ranks(ranks, ranks, [&](Communicator& communicator) {
    const absl::Status status = body(communicator);
    const std::lock_guard lock(mutex);
    errors[static_cast<size_t>(communicator.rank())] = std::string(status.message());
  });
  return errors;
}

class Transport : public ::testing::TestWithParam<std::tuple<std::string, int>> {};

TEST_P(Transport, GivesTheWeightsOfOneRankBitForBit) {
  const std::string& transport = std::get<0>(GetParam());
  const int ranks = std::get<1>(GetParam());
  for (const std::string& error : run_everywhere(
           ranks, [&](Communicator& communicator) { return run_scenario(communicator, {.transport = transport}); }))
    EXPECT_EQ(error, "");
}

INSTANTIATE_TEST_SUITE_P(Ranks, Transport,
                         ::testing::Combine(::testing::Values("shm", "mpi"), ::testing::Values(1, 2, 3, 4, 8)),
                         [](const auto& test) {
                           return std::get<0>(test.param) + std::to_string(std::get<1>(test.param));
                         });

TEST(GradReducerCreate, ChoosesSharedMemoryOnOneHostAndMessagesElsewhere) {
  for (const int local_size : {2, 1}) {
    run_thread_ranks(2, local_size, [&](Communicator& communicator) {
      const auto reducer = GradReducer::create(communicator, {}, 64, {{0, 64}});
      ASSERT_TRUE(reducer.ok()) << reducer.status();
      EXPECT_EQ((*reducer)->transport(), local_size == 2 ? "shm" : "mpi");
    });
  }
}

TEST(GradReducerCreate, RefusesRanksThatDisagree) {
  const auto errors = run_everywhere(2, [](Communicator& communicator) {
    return GradReducer::create(communicator, {.grad_slices = 8 << communicator.rank()}, 64, {{0, 64}}).status();
  });
  for (const std::string& error : errors)
    EXPECT_THAT(error, HasSubstr("rank 1 on threads has auto transport, 16 slices"));
}

TEST(GradReducerCreate, NamesTheTransportsItKnows) {
  const auto communicator = make_local_communicator();
  const auto reducer = GradReducer::create(*communicator, {.transport = "smh"}, 64, {{0, 64}});
  EXPECT_THAT(std::string(reducer.status().message()), HasSubstr("expected auto, shm or mpi"));
}

TEST(GradReducerDeathTest, CallsOutOfOrderEndTheProcess) {
  const auto communicator = make_local_communicator();
  auto reducer = GradReducer::create(*communicator, {}, 64, {{0, 64}});
  ASSERT_TRUE(reducer.ok());
  EXPECT_DEATH((void)(*reducer)->start_reduce_scatter(0), "CHECK failed");
  (*reducer)->begin_step(0);
  EXPECT_DEATH((void)(*reducer)->wait_reduce_scatter(0), "CHECK failed");
  EXPECT_DEATH((void)(*reducer)->start_all_gather(0), "CHECK failed");
  EXPECT_DEATH((*reducer)->begin_step(0), "CHECK failed");
}

}  // namespace
}  // namespace lockstep
