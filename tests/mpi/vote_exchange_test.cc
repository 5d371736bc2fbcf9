// SPDX-License-Identifier: Apache-2.0
#include "mpi/vote_exchange.h"

#include <gtest/gtest.h>

#include "tests/mpi/thread_ranks.h"

namespace lockstep {
namespace {

TEST(VoteExchange, EveryRankGetsTheOrOfEveryRound) {
  for (const int ranks : {1, 2, 5}) {
    run_thread_ranks(ranks, ranks, [&](Communicator& communicator) {
      VoteExchange votes(communicator);
      for (int round = 0; round < 20; ++round) {
        const auto vote_of = [&](int rank) { return (round + rank) % 3 == 0 ? uint32_t{1} << rank : 0; };
        uint32_t expected = 0;
        for (int rank = 0; rank < ranks; ++rank) expected |= vote_of(rank);
        ASSERT_TRUE(votes.start(vote_of(communicator.rank())).ok());
        const auto all = votes.finish();
        ASSERT_TRUE(all.ok());
        EXPECT_EQ(*all, expected);
      }
    });
  }
}

}  // namespace
}  // namespace lockstep
