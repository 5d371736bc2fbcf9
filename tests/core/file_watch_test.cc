// SPDX-License-Identifier: Apache-2.0
#include "core/train/file_watch.h"

#include <gtest/gtest.h>

#include <chrono>

#include "core/base/file.h"
#include "mpi/local_communicator.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

// Keeps the source that is watched.
class WatchedRank : public LocalCommunicator {
 public:
  const ProgressSource* source = nullptr;

  void add_progress_source(const ProgressSource* added) override { source = added; }
  void remove_progress_source(const ProgressSource*) override { source = nullptr; }
};

TEST(FileWatch, OnlyFileActivityIsProgress) {
  const TmpDir dir;
  WatchedRank rank;
  {
    const FileWatch watch(rank);
    ASSERT_NE(rank.source, nullptr);
    const uint64_t before = rank.source->count();
    EXPECT_EQ(rank.source->count(), before);
    ASSERT_TRUE(write_file_atomic(dir.file("x"), "x").ok());
    EXPECT_NE(rank.source->count(), before);
  }
  EXPECT_EQ(rank.source, nullptr);
}

TEST(FileWatch, PatienceCountsOnForAWhile) {
  WatchedRank rank;
  const FileWatch watch(rank, 0.2);
  const auto start = std::chrono::steady_clock::now();
  uint64_t last = rank.source->count();
  EXPECT_NE(rank.source->count(), last);
  while (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(300)) last = rank.source->count();
  EXPECT_EQ(rank.source->count(), last);
}

TEST(FileWatch, PatienceIsWhatFilesMayTakeBeyondAStall) {
  TrainConfig config;
  EXPECT_EQ(FileWatch::patience_s(config), 0);
  config.file_timeout_secs = 60;
  EXPECT_EQ(FileWatch::patience_s(config), 60 - config.stall_timeout_secs);
  config.file_timeout_secs = 1;
  EXPECT_EQ(FileWatch::patience_s(config), 0);
}

}  // namespace
}  // namespace lockstep
