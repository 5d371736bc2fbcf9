// SPDX-License-Identifier: Apache-2.0
#include "core/train/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/file.h"
#include "io/dataset.h"
#include "tests/support/fault_file.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class RunDirectory : public testing::Test {
 protected:
  RunDirectory() {
    config_.output_dir = dir_.path();
    model_ = *parse_model_config("image: {height: 4, width: 3}\nclasses: 10\nlayers: [{dense: {units: 10}}]", "m");
    LOCKSTEP_CHECK(write_run_files(config_, model_, data_).ok());
  }
  void add_checkpoint() { LOCKSTEP_CHECK(write_file_atomic(dir_.file("model.ckpt-5.index"), "x").ok()); }
  absl::Status check() const { return check_continues_run(config_, model_, data_); }
  std::string message() const { return std::string(check().message()); }

  TmpDir dir_;
  TrainConfig config_;
  ModelConfig model_;
  RunData data_{.train = {90, {0xAB, 0x12345678}}, .test = {37, {1, 2}}};
};

TEST_F(RunDirectory, OtherSettingsAreFineWhileThereIsNoCheckpoint) {
  config_.seed = 9;
  data_.train.examples = 91;
  EXPECT_TRUE(check().ok());
}

TEST_F(RunDirectory, OtherSettingsAreRefusedWithWhatDiffers) {
  add_checkpoint();
  EXPECT_TRUE(check().ok());
  config_.seed = 9;
  std::get<DenseConfig>(model_.layers[0].kind).units = 11;
  EXPECT_THAT(message(), HasSubstr("seed: 1 in the saved run, 9 now"));
  EXPECT_THAT(message(), HasSubstr("model: `  - dense: {units: 10, activation: none}` in the saved run, "
                                   "`  - dense: {units: 11,"));
}

TEST_F(RunDirectory, AdviceIsAWarmStartWhereTheNetworkIsTheSame) {
  add_checkpoint();
  config_.seed = 9;
  EXPECT_THAT(message(), HasSubstr("another --output_dir; there, --warm_start=" + config_.output_dir + " begins with"));
  std::get<DenseConfig>(model_.layers[0].kind).units = 11;
  EXPECT_THAT(message(), AllOf(HasSubstr("another --output_dir"), Not(HasSubstr("warm_start"))));
}

TEST_F(RunDirectory, DataFileHasCountsAndChecksums) {
  EXPECT_EQ(*read_file(dir_.file("data.yaml")),
            "train_examples: 90\ntrain_images_crc32c: 0x000000ab\ntrain_labels_crc32c: 0x12345678\n"
            "test_examples: 37\ntest_images_crc32c: 0x00000001\ntest_labels_crc32c: 0x00000002\n");
}

TEST_F(RunDirectory, OtherContentsAreNamedWithTheirDirectory) {
  add_checkpoint();
  data_.train.fingerprint.images_crc32c = 0xAC;
  EXPECT_THAT(message(), HasSubstr("train images: CRC-32C 0x000000ab in the saved run, 0x000000ac now "
                                   "(--data_dir=" +
                                   config_.data_dir + " in both: what it holds has changed)"));
  data_.test.fingerprint.labels_crc32c = 3;
  const std::string before = config_.data_dir;
  config_.data_dir = "elsewhere";
  EXPECT_THAT(message(), AllOf(HasSubstr("train images: "),
                               HasSubstr("test labels: CRC-32C 0x00000002 in the saved run, 0x00000003 now (the saved "
                                         "run had --data_dir=" +
                                         before + ", now it is elsewhere)")));
}

TEST_F(RunDirectory, AnotherCountSaysNothingAboutContents) {
  add_checkpoint();
  data_.train = {91, {5, 6}};
  EXPECT_THAT(message(), AllOf(HasSubstr("train examples: 90 in the saved run, 91 now"), Not(HasSubstr("CRC"))));
}

TEST_F(RunDirectory, WhatAnEarlierVersionDidNotWriteIsNotCompared) {
  add_checkpoint();
  spill(dir_.file("data.yaml"), "train_examples: 90\n");
  data_.train.fingerprint = {8, 9};
  data_.test.examples = 1;
  EXPECT_TRUE(check().ok());
  data_.train.examples = 91;
  EXPECT_THAT(message(), HasSubstr("train examples: 90 in the saved run, 91 now"));
  ASSERT_TRUE(remove_file(dir_.file("data.yaml")).ok());
  EXPECT_TRUE(check().ok());
}

TEST_F(RunDirectory, DamagedDataFileIsAnErrorThatNamesIt) {
  add_checkpoint();
  for (const char* text : {"", "90", "- train_examples", "a: [", "train_examples: [1, 2]"}) {
    spill(dir_.file("data.yaml"), text);
    EXPECT_FALSE(check().ok()) << text;
    EXPECT_THAT(message(), AllOf(HasSubstr(dir_.path()))) << text;
  }
}

TEST(RunDataOf, TakesBothSplits) {
  const auto train = make_resident_dataset({1, 2, 1}, {1, 2, 3, 4}, {0, 4}, "a");
  const auto test = make_resident_dataset({1, 2, 1}, {1, 2}, {0}, "b");
  const RunData data = run_data(*train, *test);
  EXPECT_EQ(data.train.examples, 2);
  EXPECT_EQ(data.test.examples, 1);
  EXPECT_EQ(data.train.fingerprint, train->fingerprint());
  EXPECT_EQ(data.test.fingerprint, test->fingerprint());
}

}  // namespace
}  // namespace lockstep
