// SPDX-License-Identifier: Apache-2.0
// What becomes of a second run in the directory of a first: continued, only looked at, or refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "core/train/agree.h"
#include "io/records_command.h"
#include "tests/core/train_run_fixture.h"

namespace lockstep {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class TrainResume : public TrainRun {
 protected:
  std::string data_file(const std::string& name) const { return join_path(config_.data_dir, name); }

  void change_last_byte(const std::string& path) {
    std::string bytes = *read_file(path);
    bytes.back() ^= 1;
    ASSERT_TRUE(write_file_atomic(path, bytes).ok());
  }
};

TEST_F(TrainResume, ResumedRunEqualsTheUndisturbedOneOnAnotherNumberOfRanks) { expect_resumed_equals_undisturbed(); }

TEST_F(TrainResume, FinishedRunKeepsItsSummary) {
  trained_sha();
  const std::string before = *read_file(file("run.json"));
  ASSERT_TRUE(run(config_, 2).ok());
  EXPECT_EQ(*read_file(file("run.json")), before);
}

TEST_F(TrainResume, FinishedRunIsOnlyEvaluatedAgain) {
  const std::string sha = trained_sha();
  ASSERT_TRUE(remove_file(file("run.json")).ok());
  ASSERT_TRUE(run(config_).ok());
  EXPECT_EQ(run_json()["weights_sha256"], sha);
  EXPECT_EQ(run_json()["resumed_from"], 12);
}

// The names and contents of everything that TensorBoard and plots read.
std::map<std::string, std::string> told(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    const std::string name = entry.path().filename();
    if (name == "metrics.jsonl" || name.find(".tfevents.") != std::string::npos) {
      files[entry.path()] = *read_file(entry.path());
    }
  }
  return files;
}

TEST_F(TrainResume, FinishedRunTellsNothingTwice) {
  trained_sha();
  const auto before = told(config_.output_dir);
  ASSERT_EQ(before.size(), 3u);  // metrics.jsonl, events of the training and of the evaluation
  ASSERT_TRUE(run(config_, 2).ok());
  config_.train_steps = 5;
  ASSERT_TRUE(run(config_).ok());
  EXPECT_EQ(told(config_.output_dir), before);
}

TEST_F(TrainResume, EvaluationThatAKillPreventedIsMadeUpFor) {
  trained_sha();
  const std::string path = file("metrics.jsonl"), text = *read_file(path);
  const size_t last = text.rfind("\n", text.size() - 2) + 1;
  ASSERT_EQ(json::parse(text.substr(last))["kind"], "eval");
  ASSERT_TRUE(write_file_atomic(path, text.substr(0, last)).ok());
  ASSERT_TRUE(run(config_).ok());
  EXPECT_EQ(*read_file(path), text);
  EXPECT_EQ(told(config_.output_dir).size(), 5u);
}

TEST_F(TrainResume, OtherArithmeticIsRefused) {
  trained_sha();
  config_.train_steps = 20;
  config_.learning_rate = 0.02;
  const absl::Status status = run(config_, 2);
  EXPECT_TRUE(is_agreed(status));
  EXPECT_THAT(message_of(status), HasSubstr("learning_rate: 0.01 in the saved run, 0.02 now"));
}

TEST_F(TrainResume, AnotherNumberOfExamplesIsRefused) {
  trained_sha();
  config_.train_steps = 20;
  write_idx_directory(config_.data_dir, 91, 37, /*gzip=*/false);
  EXPECT_THAT(message_of(run(config_)), HasSubstr("train examples: 90 in the saved run, 91 now"));
}

TEST_F(TrainResume, OtherImagesOrLabelsInAsManyExamplesAreRefused) {
  const std::string sha = trained_sha();
  config_.train_steps = 20;
  for (const auto& [name, what] : {std::pair("train-images-idx3-ubyte", "train images: CRC-32C 0x"),
                                   std::pair("train-labels-idx1-ubyte", "train labels: CRC-32C 0x"),
                                   std::pair("t10k-images-idx3-ubyte", "test images: CRC-32C 0x"),
                                   std::pair("t10k-labels-idx1-ubyte", "test labels: CRC-32C 0x")}) {
    change_last_byte(data_file(name));
    const absl::Status status = run(config_, 2);
    EXPECT_TRUE(is_agreed(status)) << name;
    EXPECT_THAT(message_of(status), AllOf(HasSubstr(what), HasSubstr("another --output_dir"))) << name;
    change_last_byte(data_file(name));
  }
  EXPECT_EQ(run_json()["weights_sha256"], sha);
  EXPECT_TRUE(run(config_, 2).ok());
}

TEST_F(TrainResume, SameExamplesInOtherFilesContinueTheRun) {
  const std::string sha = trained_sha();
  std::filesystem::remove_all(config_.output_dir);
  TrainConfig half = config_;
  half.train_steps = 5;
  ASSERT_TRUE(run(half, 2).ok());
  const std::string as_idx = *read_file(file("data.yaml"));
  const std::string records = dir_.file("records");
  ASSERT_TRUE(create_records({.source = config_.data_dir, .directory = records, .validation_size = 0}).ok());
  config_.data_dir = records;
  ASSERT_TRUE(run(config_).ok());
  EXPECT_EQ(run_json()["weights_sha256"], sha);
  EXPECT_EQ(*read_file(file("data.yaml")), as_idx);
  config_.dataset_memory_limit = 0;  // streamed
  EXPECT_EQ(trained_sha(3), sha);
  EXPECT_EQ(*read_file(file("data.yaml")), as_idx);
}

TEST_F(TrainResume, RunOfAnEarlierVersionContinuesAndIsCheckedFromThenOn) {
  trained_sha();
  ASSERT_TRUE(write_file_atomic(file("data.yaml"), "train_examples: 90\n").ok());
  config_.train_steps = 16;
  ASSERT_TRUE(run(config_).ok());
  change_last_byte(data_file("train-images-idx3-ubyte"));
  EXPECT_THAT(message_of(run(config_)), HasSubstr("train images: CRC-32C 0x"));
}

TEST_F(TrainResume, RanksWithOtherDataThanRank0AreRefused) {
  const std::string other = dir_.file("other");
  ASSERT_TRUE(make_directories(other).ok());
  std::filesystem::copy(config_.data_dir, other, std::filesystem::copy_options::recursive);
  change_last_byte(join_path(other, "train-images-idx3-ubyte"));
  run_thread_ranks(2, 2, [&](Communicator& communicator) {
    TrainConfig mine = config_;
    if (communicator.rank() == 1) mine.data_dir = other;
    EXPECT_THAT(message_of(Trainer::create(communicator, mine).status()),
                HasSubstr("ranks disagree on configuration or data"));
  });
}

TEST_F(TrainResume, SecondRunInOneDirectoryIsRefused) {
  ASSERT_TRUE(make_directories(config_.output_dir).ok());
  const auto lock = DirectoryLock::acquire(config_.output_dir);
  ASSERT_TRUE(lock.ok());
  EXPECT_THAT(message_of(run(config_, 2)), HasSubstr("is in use by another process"));
}

TEST_F(TrainResume, DamagedNewestCheckpointFallsBackToTheOneBefore) {
  const std::string sha = trained_sha();
  std::filesystem::remove_all(config_.output_dir);
  config_.save_checkpoints_steps = 4;
  TrainConfig part = config_;
  part.train_steps = 8;
  ASSERT_TRUE(run(part).ok());
  ASSERT_TRUE(file_exists(file("model.ckpt-4.index")));
  std::filesystem::resize_file(file("model.ckpt-8.data-00000-of-00001"), 100);
  ASSERT_TRUE(run(config_).ok());
  EXPECT_EQ(run_json()["resumed_from"], 4);
  EXPECT_EQ(run_json()["weights_sha256"], sha);
}

TEST_F(TrainResume, MetricsOfAKilledRunBeyondItsCheckpointAreDropped) {
  TrainConfig half = config_;
  half.train_steps = 4;
  ASSERT_TRUE(run(half).ok());
  const std::string path = file("metrics.jsonl");
  ASSERT_TRUE(write_file_atomic(path, *read_file(path) + "{\"kind\":\"train\",\"step\":8}\n{\"kind\":\"tra").ok());
  ASSERT_TRUE(run(config_).ok());
  std::vector<int> steps;
  std::istringstream lines(*read_file(path));
  for (std::string line; std::getline(lines, line);) {
    const json entry = json::parse(line);
    if (entry["kind"] == "train") steps.push_back(entry["step"]);
  }
  EXPECT_THAT(steps, testing::ElementsAre(4, 8, 12));
}

}  // namespace
}  // namespace lockstep
