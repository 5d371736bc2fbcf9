// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoint_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/damage.h"
#include "tests/support/fault_file.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CheckpointStateFile : public testing::Test {
 protected:
  absl::StatusOr<CheckpointState> read(const std::string& text) const {
    spill(dir_.file("checkpoint"), text);
    return read_checkpoint_state(dir_.file("checkpoint"));
  }
  // A damaged file is refused with its name and a reason, or says something that can be looked for.
  void expect_error_or_names(const std::string& text, size_t place) const {
    const auto state = read(text);
    if (state.ok()) {
      EXPECT_FALSE(state->latest.empty()) << place;
    } else {
      EXPECT_TRUE(absl::IsDataLoss(state.status())) << place;
      EXPECT_THAT(std::string(state.status().message()), HasSubstr(dir_.file("checkpoint") + ": ")) << place;
    }
  }

  const TmpDir dir_;
  const std::string good_ =
      checkpoint_state_text({"model.ckpt-300", {"model.ckpt-100", "model.ckpt-200", "model.ckpt-300"}});
};

TEST_F(CheckpointStateFile, ReadsBackWhatWasWritten) {
  const auto state = read(good_);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->latest, "model.ckpt-300");
  EXPECT_THAT(state->all, ElementsAre("model.ckpt-100", "model.ckpt-200", "model.ckpt-300"));
}

TEST_F(CheckpointStateFile, CutAtAnyByteIsAnErrorOrShorter) {
  for_each_cut(good_, [&](const std::string& damaged, size_t length) { expect_error_or_names(damaged, length); });
  EXPECT_TRUE(absl::IsDataLoss(read("").status()));
}

TEST_F(CheckpointStateFile, AnyFlippedBitIsAnErrorOrAnotherName) {
  for_each_bit_flip(good_, [&](const std::string& damaged, size_t bit) { expect_error_or_names(damaged, bit); });
}

TEST_F(CheckpointStateFile, TrailingBytesAreErrorsOrFieldsOfLaterVersions) {
  EXPECT_TRUE(absl::IsDataLoss(read(good_ + "}").status()));
  EXPECT_TRUE(absl::IsDataLoss(read(good_ + std::string(1, '\0')).status()));
  EXPECT_TRUE(read(good_ + "last_preserved_timestamp: 1.5\n").ok());
}

}  // namespace
}  // namespace lockstep
