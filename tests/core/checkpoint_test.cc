// SPDX-License-Identifier: Apache-2.0
#include "core/nn/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>

#include "tests/support/fault_file.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// A model of one variable with its moments; the values tell the step.
struct Model {
  std::vector<float> weights, m, v;
  float beta1_power = 0, beta2_power = 0;
  int64_t step = 0;

  explicit Model(int64_t s) : weights(6), m(6), v(6), beta1_power(0.9f), beta2_power(0.999f), step(s) {
    std::iota(weights.begin(), weights.end(), static_cast<float>(s));
    std::iota(m.begin(), m.end(), static_cast<float>(2 * s));
  }
  CheckpointData data() const {
    return {step,
            {{"dense/kernel", {2, 3}, weights},
             {"dense/kernel/Adam", {2, 3}, m},
             {"dense/kernel/Adam_1", {2, 3}, v},
             {"beta1_power", {}, {&beta1_power, 1}},
             {"beta2_power", {}, {&beta2_power, 1}}}};
  }
};

std::unique_ptr<CheckpointManager> manager_in(const std::string& directory, int keep = 5) {
  auto manager = CheckpointManager::create(directory, keep);
  LOCKSTEP_CHECK(manager.ok());
  return *std::move(manager);
}

absl::Status save(const std::string& directory, int64_t step, int keep = 5) {
  auto manager = CheckpointManager::create(directory, keep);
  if (!manager.ok()) return manager.status();
  LOCKSTEP_RETURN_IF_ERROR((*manager)->save_async(Model(step).data()));
  return (*manager)->wait();
}

// The step of the checkpoint found, -1 for none; its weights must be those of that step.
int64_t loaded_step(const LatestCheckpoint& latest) {
  if (!latest.checkpoint) return -1;
  const int64_t step = latest.checkpoint->global_step();
  std::vector<float> weights(6);
  EXPECT_TRUE(latest.checkpoint->read("dense/kernel", std::vector<int64_t>{2, 3}, weights).ok());
  EXPECT_EQ(weights, Model(step).weights);
  return step;
}

int64_t latest_step(const std::string& directory) {
  const auto latest = latest_checkpoint(directory);
  EXPECT_TRUE(latest.ok()) << latest.status();
  return latest.ok() ? loaded_step(*latest) : -2;
}

std::vector<std::string> files_in(const TmpDir& dir) { return list_directory(dir.path()).value(); }

std::string data_file(int64_t step) { return fmt::format("model.ckpt-{}.data-00000-of-00001", step); }
std::string index_file(int64_t step) { return fmt::format("model.ckpt-{}.index", step); }

TEST(Checkpoint, RoundTripKeepsEveryVariable) {
  const TmpDir dir;
  ASSERT_TRUE(save(dir.path(), 200).ok());
  auto latest = latest_checkpoint(dir.path());
  ASSERT_TRUE(latest.ok()) << latest.status();
  EXPECT_THAT(latest->warnings, IsEmpty());
  ASSERT_TRUE(latest->checkpoint.has_value());
  const LoadedCheckpoint& checkpoint = *latest->checkpoint;
  EXPECT_EQ(checkpoint.global_step(), 200);
  EXPECT_EQ(checkpoint.prefix(), dir.file("model.ckpt-200"));
  EXPECT_THAT(checkpoint.names(),
              ElementsAre("beta1_power", "beta2_power", "dense/kernel", "dense/kernel/Adam", "dense/kernel/Adam_1"));
  float beta = 0;
  ASSERT_TRUE(checkpoint.read("beta1_power", {}, {&beta, 1}).ok());
  EXPECT_EQ(beta, 0.9f);
  std::vector<float> m(6);
  ASSERT_TRUE(checkpoint.read("dense/kernel/Adam", std::vector<int64_t>{2, 3}, m).ok());
  EXPECT_EQ(m, Model(200).m);
  EXPECT_THAT(files_in(dir), ElementsAre("checkpoint", data_file(200), index_file(200)));
  EXPECT_EQ(slurp(dir.file("checkpoint")),
            "model_checkpoint_path: \"model.ckpt-200\"\nall_model_checkpoint_paths: \"model.ckpt-200\"\n");
}

TEST(Checkpoint, ReferenceModelHasTheSizeOfTensorFlows) {
  const std::vector<std::pair<std::string, std::vector<int64_t>>> variables = {
      {"conv2d/bias", {32}},   {"conv2d/kernel", {5, 5, 1, 32}},
      {"conv2d_1/bias", {64}}, {"conv2d_1/kernel", {5, 5, 32, 64}},
      {"dense/bias", {1024}},  {"dense/kernel", {3136, 1024}},
      {"dense_1/bias", {10}},  {"dense_1/kernel", {1024, 10}}};
  const std::vector<float> zeros(3136 * 1024);
  CheckpointData data{10000, {{"beta1_power", {}, {zeros.data(), 1}}, {"beta2_power", {}, {zeros.data(), 1}}}};
  for (const auto& [name, shape] : variables) {
    size_t count = 1;
    for (const int64_t size : shape) count *= static_cast<size_t>(size);
    for (const char* slot : {"", "/Adam", "/Adam_1"})
      data.tensors.push_back({name + slot, shape, {zeros.data(), count}});
  }
  const TmpDir dir;
  const auto manager = manager_in(dir.path());
  ASSERT_TRUE(manager->save_async(data).ok());
  ASSERT_TRUE(manager->wait().ok());
  EXPECT_EQ(std::filesystem::file_size(dir.file(data_file(10000))), 39295624u);
}

TEST(Checkpoint, SnapshotIsTakenBeforeSaveReturns) {
  const TmpDir dir;
  const auto manager = manager_in(dir.path());
  Model model(100);
  ASSERT_TRUE(manager->save_async(model.data()).ok());
  model = Model(999);
  ASSERT_TRUE(manager->wait().ok());
  EXPECT_EQ(latest_step(dir.path()), 100);
}

TEST(Checkpoint, KeepsTheNewestFew) {
  const TmpDir dir;
  const auto manager = manager_in(dir.path(), 2);
  for (const int64_t step : {1, 2, 3, 10}) ASSERT_TRUE(manager->save_async(Model(step).data()).ok());
  ASSERT_TRUE(manager->wait().ok());
  EXPECT_THAT(files_in(dir), ElementsAre("checkpoint", data_file(10), index_file(10), data_file(3), index_file(3)));
  EXPECT_EQ(slurp(dir.file("checkpoint")),
            "model_checkpoint_path: \"model.ckpt-10\"\nall_model_checkpoint_paths: \"model.ckpt-3\"\n"
            "all_model_checkpoint_paths: \"model.ckpt-10\"\n");
}

TEST(Checkpoint, ANewManagerGoesOnWithTheOldOnes) {
  const TmpDir dir;
  for (const int64_t step : {5, 6, 7}) ASSERT_TRUE(save(dir.path(), step, 2).ok());
  EXPECT_THAT(files_in(dir), ElementsAre("checkpoint", data_file(6), index_file(6), data_file(7), index_file(7)));
}

TEST(Checkpoint, SavingAStepAgainReplacesIt) {
  const TmpDir dir;
  for (const int64_t step : {5, 6, 6}) ASSERT_TRUE(save(dir.path(), step, 2).ok());
  EXPECT_THAT(files_in(dir), SizeIs(5));
  EXPECT_EQ(latest_step(dir.path()), 6);
}

TEST(Checkpoint, AnEmptyOrMissingDirectoryHoldsNone) {
  const TmpDir dir;
  EXPECT_EQ(latest_step(dir.path()), -1);
  EXPECT_EQ(latest_step(dir.file("none")), -1);
}

TEST(Checkpoint, WithoutACheckpointFileTheNamesDecide) {
  const TmpDir dir;
  for (const int64_t step : {9, 10}) ASSERT_TRUE(save(dir.path(), step).ok());
  ASSERT_TRUE(remove_file(dir.file("checkpoint")).ok());
  EXPECT_EQ(latest_step(dir.path()), 10);
}

TEST(Checkpoint, AbsoluteNamesOfAMovedDirectoryStillHold) {
  const TmpDir dir;
  for (const int64_t step : {1, 2, 3}) ASSERT_TRUE(save(dir.path(), step).ok());
  spill(dir.file("checkpoint"),
        "model_checkpoint_path: \"/gone/model.ckpt-2\"\nall_model_checkpoint_paths: \"/gone/model.ckpt-1\"\n"
        "all_model_checkpoint_paths: \"/gone/model.ckpt-2\"\nall_model_checkpoint_timestamps: 1.5\n");
  EXPECT_EQ(latest_step(dir.path()), 2);
  ASSERT_TRUE(save(dir.path(), 4, 2).ok());
  EXPECT_THAT(files_in(dir), ElementsAre("checkpoint", data_file(2), index_file(2), data_file(4), index_file(4)));
}

TEST(Checkpoint, ADamagedCheckpointFileIsReportedAndPassedOver) {
  const TmpDir dir;
  for (const int64_t step : {9, 10}) ASSERT_TRUE(save(dir.path(), step).ok());
  for (const std::string text :
       {"", "model_checkpoint_path: \"model.ck", "\xff\x01", "all_model_checkpoint_paths: 7"}) {
    spill(dir.file("checkpoint"), text);
    const auto latest = latest_checkpoint(dir.path());
    ASSERT_TRUE(latest.ok()) << latest.status();
    EXPECT_EQ(loaded_step(*latest), 10);
    ASSERT_THAT(latest->warnings, SizeIs(1));
    EXPECT_THAT(latest->warnings[0], HasSubstr("going by the names of the files"));
  }
  ASSERT_TRUE(save(dir.path(), 11).ok());
  EXPECT_EQ(latest_step(dir.path()), 11);
}

TEST(Checkpoint, FallsBackToTheOneBeforeAndSaysWhy) {
  const TmpDir dir;
  for (const int64_t step : {100, 200, 300}) ASSERT_TRUE(save(dir.path(), step).ok());
  const std::string data = slurp(dir.file(data_file(300)));
  const std::string index = slurp(dir.file(index_file(200)));
  spill(dir.file(data_file(300)), with_bit_flipped(data, 17, 3));
  spill(dir.file(index_file(200)), index.substr(0, index.size() - 1));
  const auto latest = latest_checkpoint(dir.path());
  ASSERT_TRUE(latest.ok()) << latest.status();
  EXPECT_EQ(loaded_step(*latest), 100);
  ASSERT_THAT(latest->warnings, SizeIs(2));
  EXPECT_THAT(latest->warnings[0], HasSubstr("passing over checkpoint model.ckpt-300"));
  EXPECT_THAT(latest->warnings[0], HasSubstr("masked CRC"));
  EXPECT_THAT(latest->warnings[1], HasSubstr("model.ckpt-200.index: offset"));
}

TEST(Checkpoint, AfterAFallbackTheNewSaveIsTheNewest) {
  const TmpDir dir;
  for (const int64_t step : {100, 200, 300}) ASSERT_TRUE(save(dir.path(), step).ok());
  spill(dir.file(index_file(300)), "");
  EXPECT_EQ(latest_step(dir.path()), 200);
  ASSERT_TRUE(save(dir.path(), 250).ok());
  EXPECT_EQ(latest_step(dir.path()), 250);
}

TEST(Checkpoint, WhenAllAreDamagedTheUserDecides) {
  const TmpDir dir;
  for (const int64_t step : {1, 2}) {
    ASSERT_TRUE(save(dir.path(), step).ok());
    spill(dir.file(data_file(step)), "");
  }
  const auto latest = latest_checkpoint(dir.path());
  EXPECT_TRUE(absl::IsDataLoss(latest.status()));
  EXPECT_THAT(std::string(latest.status().message()), HasSubstr("none of its 2 checkpoints can be used"));
}

TEST(Checkpoint, AnotherModelsVariablesAreRefused) {
  const TmpDir dir;
  ASSERT_TRUE(save(dir.path(), 1).ok());
  const auto checkpoint = load_checkpoint(dir.path());
  ASSERT_TRUE(checkpoint.ok());
  std::vector<float> out(6);
  const auto message = [&](const std::string& name, const std::vector<int64_t>& shape) {
    return std::string(checkpoint->read(name, shape, out).message());
  };
  EXPECT_THAT(message("dense/kernel", {3, 2}), HasSubstr("the model needs shape (3, 2), the checkpoint has (2, 3)"));
  EXPECT_THAT(message("dense/kernels", {2, 3}), HasSubstr("did you mean `dense/kernel`?"));
}

TEST(Checkpoint, LeftoversOfAKilledRunAreRemovedAndNothingElse) {
  const TmpDir dir;
  ASSERT_TRUE(save(dir.path(), 1).ok());
  const std::vector<std::string> strangers = {"events.out.tfevents.1.host", "model.ckpt-x.data-00000-of-00001",
                                              "model.ckpt-007.data-00000-of-00001", "notes.tmp.1",
                                              "other.data-00000-of-00001"};
  for (const std::string& name : strangers) spill(dir.file(name), "x");
  const auto before = files_in(dir);
  for (const std::string& name : {index_file(2) + ".tmp.77", data_file(3), std::string("checkpoint.tmp.9")}) {
    spill(dir.file(name), "x");
  }
  manager_in(dir.path());
  EXPECT_EQ(files_in(dir), before);
}

TEST(Checkpoint, AFailedWriteIsReportedByTheNextCallAndTheNextSaveWorks) {
  const TmpDir dir;
  const auto manager = manager_in(dir.path());
  {
    FailOn faults(FileOp::kSync, ".index");
    const ScopedFileHooks hooks(&faults);
    ASSERT_TRUE(manager->save_async(Model(1).data()).ok());
    EXPECT_THAT(std::string(manager->wait().message()), HasSubstr("cannot write checkpoint model.ckpt-1"));
    EXPECT_TRUE(manager->wait().ok());  // reported once
    ASSERT_TRUE(manager->save_async(Model(2).data()).ok());
    ASSERT_TRUE(manager->latest().ok());  // waits, and keeps the error for the next call
  }
  EXPECT_FALSE(manager->save_async(Model(3).data()).ok());
  EXPECT_TRUE(manager->wait().ok());
  EXPECT_EQ(latest_step(dir.path()), 3);
}

// Kills the process before every single file operation of a save (and half-way through every write), then starts anew.
TEST(Checkpoint, ACrashAtAnyPointLeavesTheNewOrThePreviousOne) {
  const TmpDir start;
  for (const int64_t step : {1, 2}) ASSERT_TRUE(save(start.path(), step, 2).ok());
  bool finished = false;
  int new_ones = 0, previous_ones = 0;
  for (int at = 0; !finished; ++at) {
    ASSERT_LT(at, 100);
    const TmpDir dir;
    std::filesystem::copy(start.path(), dir.path());  // quicker than saving: no fsync
    {
      CrashAt crash(at);
      const ScopedFileHooks hooks(&crash);
      const absl::Status status = save(dir.path(), 3, 2);
      finished = !crash.crashed();
      EXPECT_EQ(status.ok(), finished) << status;
    }
    const int64_t step = latest_step(dir.path());
    EXPECT_TRUE(step == 2 || step == 3) << "crash before operation " << at << ": step " << step;
    (step == 3 ? new_ones : previous_ones) += 1;

    ASSERT_TRUE(save(dir.path(), 4, 2).ok());
    EXPECT_EQ(latest_step(dir.path()), 4);
    EXPECT_THAT(files_in(dir), SizeIs(5)) << "crash before operation " << at;
  }
  EXPECT_GT(new_ones, 3);
  EXPECT_GT(previous_ones, 9);
}

TEST(Checkpoint, TheFirstSaveCutShortStartsFromTheBeginning) {
  for (int at = 0; at < 10; ++at) {
    const TmpDir dir;
    {
      CrashAt crash(at);
      const ScopedFileHooks hooks(&crash);
      EXPECT_FALSE(save(dir.path(), 1).ok());
    }
    EXPECT_EQ(latest_step(dir.path()), -1) << at;
  }
}

}  // namespace
}  // namespace lockstep
