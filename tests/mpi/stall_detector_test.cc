// SPDX-License-Identifier: Apache-2.0
#include "mpi/stall_detector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using ::testing::HasSubstr;

constexpr double kTimeout = 8;

// A job in simulated time: signs of all ranks arrive every half second unless a rank is silent.
class Stall : public ::testing::Test {
 protected:
  struct Rank {
    bool silent = false, advancing = true;
    SignOfLife sign;
  };

  void pass(double seconds) {
    for (const double end = now_ + seconds; now_ < end; now_ += 0.5)
      for (size_t r = 0; r < ranks_.size(); ++r) {
        if (ranks_[r].advancing) ++ranks_[r].sign.progress;
        if (!ranks_[r].silent) detector_.heard(static_cast<int>(r), ranks_[r].sign, now_);
      }
  }
  void wait_for_others(size_t rank) {
    ranks_[rank].advancing = false;
    ranks_[rank].sign.phase = SignOfLife::kWaiting;
    ranks_[rank].sign.set_what("gradients of bucket 2");
  }

  double now_ = 100;
  std::vector<Rank> ranks_ = std::vector<Rank>(3);
  StallDetector detector_{3, kTimeout, now_};
};

TEST_F(Stall, NobodyIsBlamedWhileAllAdvance) {
  pass(100);
  EXPECT_FALSE(detector_.check(now_));
}

TEST_F(Stall, BlamesTheSilentRankAndNotThoseThatWaitForIt) {
  pass(10);
  ranks_[1].silent = true;
  wait_for_others(0);
  wait_for_others(2);
  pass(7);
  EXPECT_FALSE(detector_.check(now_));
  pass(2);
  const auto verdict = detector_.check(now_);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
  EXPECT_THAT(verdict->reason, HasSubstr("no sign of life"));
}

TEST_F(Stall, BlamesTheRankWhoseMainThreadNeitherAdvancesNorWaits) {
  pass(10);
  ranks_[2].advancing = false;
  wait_for_others(0);
  wait_for_others(1);
  pass(9);
  const auto verdict = detector_.check(now_);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 2);
  EXPECT_THAT(verdict->reason, HasSubstr("is stuck"));
}

TEST_F(Stall, ALongEvaluationOnOneRankIsNoStallForThoseThatWait) {
  wait_for_others(1);
  wait_for_others(2);
  pass(1000);
  EXPECT_FALSE(detector_.check(now_));
}

TEST_F(Stall, BlamesTheRankThatNeverArrived) {
  ranks_[2].silent = true;
  wait_for_others(0);
  pass(9);
  const auto verdict = detector_.check(now_);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 2);
  EXPECT_THAT(verdict->reason, HasSubstr("has not arrived"));
  EXPECT_THAT(detector_.table(now_), HasSubstr("rank 2 not arrived"));
}

TEST_F(Stall, OfTwoBlamesTheOneThatStoppedFirst) {
  pass(10);
  ranks_[2].silent = true;
  pass(1);
  ranks_[1].advancing = false;
  pass(20);
  ASSERT_TRUE(detector_.check(now_));
  EXPECT_EQ(detector_.check(now_)->rank, 2);
}

TEST_F(Stall, ARankThatFallsSilentWhileItWaitsIsBlamed) {
  wait_for_others(0);
  pass(1);
  ranks_[0].silent = true;
  pass(9);
  ASSERT_TRUE(detector_.check(now_));
  EXPECT_EQ(detector_.check(now_)->rank, 0);
}

TEST_F(Stall, AllWaitingForEachOtherIsAStallOfNobodyInParticular) {
  for (size_t r = 0; r < 3; ++r) wait_for_others(r);
  pass(9);
  const auto verdict = detector_.check(now_);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, -1);
  EXPECT_THAT(detector_.table(now_), HasSubstr("for: gradients of bucket 2"));
}

TEST_F(Stall, BlamesTheRankThatLeftWhileOthersWait) {
  wait_for_others(0);
  wait_for_others(2);
  ranks_[1].advancing = false;
  ranks_[1].sign.phase = SignOfLife::kLeaving;
  pass(9);
  const auto verdict = detector_.check(now_);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
  EXPECT_THAT(verdict->reason, HasSubstr("has left the job"));
}

TEST_F(Stall, WhatWasMissedWhileTheObserverWasAwayDoesNotCount) {
  pass(10);
  now_ += 60;
  EXPECT_TRUE(detector_.check(now_));
  detector_.observer_was_away(now_);
  EXPECT_FALSE(detector_.check(now_));
  pass(9);
  EXPECT_FALSE(detector_.check(now_));
}

TEST(SignOfLife, CutsLongTexts) {
  SignOfLife sign;
  sign.set_host(std::string(500, 'h'));
  EXPECT_EQ(std::string(sign.host), std::string(63, 'h'));
  sign.set_host("short");
  EXPECT_EQ(std::string(sign.host), "short");
}

}  // namespace
}  // namespace lockstep
