// SPDX-License-Identifier: Apache-2.0
#include "core/base/slice_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <string>

namespace lockstep {
namespace {

using testing::ElementsAre;

// The sums that walk_slice_tree makes of `terms`, as formulas; what is left on the stack, left to right.
std::vector<std::string> formulas(int first, const std::vector<int>& sizes, const std::vector<std::string>& terms) {
  std::vector<std::string> stack;
  walk_slice_tree(
      first, sizes.data(), static_cast<int>(sizes.size()),
      [&](int term) { stack.push_back(terms[static_cast<size_t>(term)]); },
      [&] {
        const std::string upper = stack.back();
        stack.pop_back();
        stack.back() = fmt::format("({}+{})", stack.back(), upper);
      });
  return stack;
}

// A rank's partial sums: one formula for each of its aligned subtrees.
std::vector<std::string> partial_sums(SliceRange range) {
  std::vector<std::string> slices;
  for (int s = range.first; s < range.first + range.count; ++s) slices.push_back(fmt::format("{}", s));
  return formulas(range.first, std::vector<int>(slices.size(), 1), slices);
}

// The whole sum when `ranks` ranks share the slices.
std::vector<std::string> total(int ranks, int slices) {
  std::vector<int> sizes;
  std::vector<std::string> terms;
  for (int rank = 0; rank < ranks; ++rank) {
    const SliceRange range = slices_of_rank(rank, ranks, slices);
    for (const int size : aligned_subtrees(range)) sizes.push_back(size);
    for (const std::string& term : partial_sums(range)) terms.push_back(term);
  }
  EXPECT_EQ(sizes.size(), terms.size()) << "a rank's partial sums are its aligned subtrees";
  return formulas(0, sizes, terms);
}

TEST(SliceTree, EightSlicesAreSummedPairwise) {
  EXPECT_THAT(total(1, 8), ElementsAre("(((0+1)+(2+3))+((4+5)+(6+7)))"));
}

TEST(SliceTree, TheSumIsTheSameFormulaForEveryNumberOfRanks) {
  for (int slices = 1; slices <= 64; slices *= 2) {
    const auto one_rank = total(1, slices);
    ASSERT_EQ(one_rank.size(), 1u);
    for (int ranks = 1; ranks <= slices; ++ranks) EXPECT_EQ(total(ranks, slices), one_rank) << ranks;
  }
}

TEST(SliceTree, RanksShareTheSlicesWithoutGaps) {
  for (int slices = 1; slices <= 64; slices *= 2) {
    for (int ranks = 1; ranks <= slices; ++ranks) {
      int next = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const SliceRange range = slices_of_rank(rank, ranks, slices);
        EXPECT_EQ(range.first, next);
        EXPECT_GE(range.count, slices / ranks);
        EXPECT_LE(range.count, (slices + ranks - 1) / ranks);
        next += range.count;
      }
      EXPECT_EQ(next, slices);
    }
  }
}

TEST(SliceTree, SubtreesAreMaximalAndAligned) {
  EXPECT_THAT(aligned_subtrees({3, 3}), ElementsAre(1, 2));
  EXPECT_THAT(aligned_subtrees({0, 8}), ElementsAre(8));
  EXPECT_THAT(aligned_subtrees({1, 7}), ElementsAre(1, 2, 4));
  EXPECT_THAT(aligned_subtrees({2, 3}), ElementsAre(2, 1));
  EXPECT_THAT(aligned_subtrees({5, 0}), ElementsAre());
}

TEST(SliceTree, SlicesCutTheBatchWithoutGaps) {
  for (const int64_t batch : {int64_t{1}, int64_t{7}, int64_t{100}, int64_t{1} << 40}) {
    EXPECT_EQ(slice_begin(0, 8, batch), 0);
    EXPECT_EQ(slice_begin(8, 8, batch), batch);
    for (int s = 0; s < 8; ++s) EXPECT_LE(slice_begin(s, 8, batch), slice_begin(s + 1, 8, batch));
  }
  EXPECT_EQ(slice_begin(1, 8, 100), 12);
  EXPECT_EQ(slice_begin(2, 8, 100), 25);
}

}  // namespace
}  // namespace lockstep
