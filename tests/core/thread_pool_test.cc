// SPDX-License-Identifier: Apache-2.0
#include "core/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

namespace lockstep {
namespace {

class ThreadPoolOf : public testing::TestWithParam<int> {};

TEST_P(ThreadPoolOf, RunsEveryIndexOnceAndItsWritesAreSeen) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.threads(), GetParam());
  for (const int64_t count : {0, 1, 2, 3, 7, 1000}) {
    std::vector<int> runs(static_cast<size_t>(count));  // plain ints: the pool must order the accesses
    pool.parallel_for(count, [&](int64_t index, int thread) {
      EXPECT_GE(thread, 0);
      EXPECT_LT(thread, GetParam());
      ++runs[static_cast<size_t>(index)];
    });
    EXPECT_EQ(runs, std::vector<int>(static_cast<size_t>(count), 1)) << count;
  }
}

// Short loops in a row, each reading what the one before wrote: a late worker of a loop must not disturb the next.
TEST_P(ThreadPoolOf, LoopsInARowDoNotMix) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> values(5);
  const int loops = 300;
  for (int loop = 0; loop < loops; ++loop) {
    const int64_t count = loop % 5 + 1;
    pool.parallel_for(count, [&](int64_t index, int) { values[static_cast<size_t>(index)] += index + 1; });
  }
  EXPECT_EQ(values, (std::vector<int64_t>{300, 2 * 240, 3 * 180, 4 * 120, 5 * 60}));
}

TEST_P(ThreadPoolOf, CountsFinishedTasks) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.tasks_done(), 0u);
  for (const int64_t count : {0, 1, 10}) pool.parallel_for(count, [](int64_t, int) {});
  EXPECT_EQ(pool.tasks_done(), 11u);
  pool.count_task();
  count_task(&pool);
  count_task(nullptr);
  EXPECT_EQ(pool.tasks_done(), 13u);
}

// A watchdog looks from outside, while the loop runs. When an index starts, all before it have been handed out, and at
// most one by thread is still at work.
TEST_P(ThreadPoolOf, CountsATaskAsSoonAsItEnds) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> done(20);
  pool.parallel_for(20,
                    [&](int64_t i, int) { done[static_cast<size_t>(i)] = static_cast<int64_t>(pool.tasks_done()); });
  for (int64_t i = 0; i < 20; ++i) EXPECT_GE(done[static_cast<size_t>(i)], i - GetParam() + 1) << i;
}

TEST_P(ThreadPoolOf, AThreadIndexIsNeverSharedAtOneTime) {
  ThreadPool pool(GetParam());
  std::vector<int> per_thread(static_cast<size_t>(GetParam()));  // a data race if two tasks had one index
  pool.parallel_for(1000, [&](int64_t, int thread) { ++per_thread[static_cast<size_t>(thread)]; });
  EXPECT_EQ(std::accumulate(per_thread.begin(), per_thread.end(), 0), 1000);
}

// Half of the smallest normal number: 0 where denormals are flushed.
float half_of_smallest() {
  volatile float smallest = std::numeric_limits<float>::min();
  return smallest * 0.5F;
}

TEST_P(ThreadPoolOf, DenormalsAreZeroInTasksOnEveryThreadAndAsBeforeAfterwards) {
#if !defined(__x86_64__)
  GTEST_SKIP() << "no such mode here";
#endif
  const float before = half_of_smallest();
  EXPECT_NE(before, 0.0F);
  ThreadPool pool(GetParam());
  std::vector<float> seen(static_cast<size_t>(GetParam()), 1.0F);
  std::atomic<int> started{0};
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  // Each task waits for all others, so that every thread runs one.
  pool.parallel_for(GetParam(), [&](int64_t, int thread) {
    ++started;
    while (started < GetParam() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    seen[static_cast<size_t>(thread)] = half_of_smallest();
  });
  EXPECT_EQ(seen, std::vector<float>(static_cast<size_t>(GetParam()), 0.0F));
  EXPECT_EQ(half_of_smallest(), before);
  parallel_for(nullptr, 1, [&](int64_t, int) { seen[0] = half_of_smallest(); });
  EXPECT_EQ(seen[0], 0.0F);
  EXPECT_EQ(half_of_smallest(), before);
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolOf, testing::Values(1, 2, 3, 8));

TEST(ThreadPool, WithoutLoopsItStopsAtOnce) {
  for (int i = 0; i < 20; ++i) ThreadPool pool(4);
}

TEST(ThreadPool, NullMeansTheCallingThread) {
  std::set<std::thread::id> threads;
  int64_t sum = 0;
  parallel_for(nullptr, 10, [&](int64_t index, int thread) {
    EXPECT_EQ(thread, 0);
    threads.insert(std::this_thread::get_id());
    sum += index;
  });
  EXPECT_EQ(sum, 45);
  EXPECT_EQ(threads, std::set<std::thread::id>{std::this_thread::get_id()});
  EXPECT_EQ(thread_count(nullptr), 1);
  ThreadPool pool(2);
  EXPECT_EQ(thread_count(&pool), 2);
}

}  // namespace
}  // namespace lockstep
