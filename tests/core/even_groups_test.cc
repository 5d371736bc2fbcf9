// SPDX-License-Identifier: Apache-2.0
#include "core/base/even_groups.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace lockstep {
namespace {

std::vector<int64_t> sizes(const EvenGroups& groups) {
  std::vector<int64_t> all;
  for (int64_t i = 0; i < groups.groups(); ++i) all.push_back(groups.size(i));
  return all;
}

TEST(EvenGroups, CoverEverythingInOrderAndEvenly) {
  for (const int64_t most : {1, 2, 5, 14}) {
    for (const int64_t threads : {1, 2, 5, 16}) {
      for (int64_t count = 0; count < 500; ++count) {
        const EvenGroups groups(count, most, threads);
        int64_t at = 0, largest = 0, smallest = count;
        for (int64_t i = 0; i < groups.groups(); ++i) {
          EXPECT_EQ(groups.begin(i), at);
          at += groups.size(i);
          largest = std::max(largest, groups.size(i));
          smallest = std::min(smallest, groups.size(i));
        }
        ASSERT_EQ(at, count);
        ASSERT_EQ(largest, groups.most());
        ASSERT_LE(largest, most);
        ASSERT_LE(largest - smallest, 1);
        ASSERT_TRUE(count == 0 || smallest >= 1);
        // What a thread has of its own at thread * most() is then inside of all.
        ASSERT_TRUE(groups.groups() <= threads || threads * groups.most() <= count);
      }
    }
  }
}

TEST(EvenGroups, KeepAllThreadsBusyButShareWork) {
  EXPECT_EQ(sizes({39, 14, 2}), (std::vector<int64_t>{9, 10, 10, 10}));
  EXPECT_EQ(sizes({28, 14, 2}), (std::vector<int64_t>{14, 14}));
  EXPECT_EQ(sizes({28, 14, 1}), (std::vector<int64_t>{14, 14}));
  EXPECT_EQ(sizes({14, 14, 2}), (std::vector<int64_t>{7, 7}));
  EXPECT_EQ(sizes({14, 14, 16}), (std::vector<int64_t>{4, 5, 5}));
  EXPECT_EQ(sizes({15, 14, 16}), (std::vector<int64_t>{5, 5, 5}));
  EXPECT_EQ(sizes({15, 14, 4}), (std::vector<int64_t>{5, 5, 5}));
  EXPECT_EQ(sizes({7, 14, 2}), (std::vector<int64_t>{7}));
  EXPECT_EQ(sizes({3, 1, 2}), (std::vector<int64_t>{1, 1, 1}));
  EXPECT_EQ(sizes({0, 14, 2}), (std::vector<int64_t>{}));
}

}  // namespace
}  // namespace lockstep
