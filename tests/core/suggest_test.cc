// SPDX-License-Identifier: Apache-2.0
#include "core/base/suggest.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

const std::vector<std::string> kFlags = {"train_steps", "train_batch_size", "eval_steps", "data_dir"};

TEST(EditDistance, CountsInsertionsDeletionsAndSubstitutions) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("abc", ""), 3);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("sitting", "kitten"), 3);
  EXPECT_EQ(edit_distance("same", "same"), 0);
}

TEST(NearestName, IsTheOneWithTheFewestEdits) {
  EXPECT_EQ(nearest_name("train_step", kFlags), "train_steps");
  EXPECT_EQ(nearest_name("evalsteps", kFlags), "eval_steps");
  EXPECT_EQ(nearest_name("data-dir", kFlags), "data_dir");
}

TEST(NearestName, IsEmptyWhenNothingIsNear) {
  EXPECT_EQ(nearest_name("xyzzy", kFlags), "");
  EXPECT_EQ(nearest_name("train_steps", {}), "");
}

TEST(DidYouMean, IsReadyToAppend) {
  EXPECT_EQ(did_you_mean("train_step", kFlags), " (did you mean `train_steps`?)");
  EXPECT_EQ(did_you_mean("xyzzy", kFlags), "");
}

}  // namespace
}  // namespace lockstep
