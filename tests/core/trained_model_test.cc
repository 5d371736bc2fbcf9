// SPDX-License-Identifier: Apache-2.0
#include "core/nn/trained_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "core/nn/checkpoint.h"
#include "core/nn/init.h"
#include "core/nn/network.h"
#include "tests/support/fault_file.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr char kModel[] = R"(
image: {height: 4, width: 3}
classes: 10
layers:
  - conv: {filters: 4, kernel: 3, activation: relu}
  - max_pool: {window: 2}
  - dense: {units: 10}
)";

// A directory as a run leaves it: checkpoints of steps 5 and 10, of different weights, and model.yaml.
class TrainedModelTest : public testing::Test {
 protected:
  TrainedModelTest() {
    LOCKSTEP_CHECK(write_file_atomic(dir_.file("model.yaml"), to_yaml(config_)).ok());
    auto manager = *CheckpointManager::create(dir_.path());
    for (const int64_t step : {5, 10}) {
      const std::vector<float> weights = weights_of(step);
      CheckpointData data{step, {}};
      for (const Param& param : network_.params().params()) {
        const std::span<const float> values(weights.data() + param.offset, static_cast<size_t>(param.size));
        data.tensors.push_back({param.name, param.shape, values});
      }
      LOCKSTEP_CHECK(manager->save_async(data).ok());
    }
    LOCKSTEP_CHECK(manager->wait().ok());
  }

  std::vector<float> weights_of(int64_t step) const {
    std::vector<float> weights(static_cast<size_t>(network_.params().buffer_size()));
    initialize_weights(network_.params(), static_cast<uint64_t>(step), weights.data());
    return weights;
  }

  void expect_model(const absl::StatusOr<TrainedModel>& model, int64_t step) {
    expect_weights(model, step);
    ASSERT_TRUE(model.ok());
    EXPECT_EQ(model->origin, dir_.file(fmt::format("model.ckpt-{}", step)));
    EXPECT_EQ(to_yaml(model->config), to_yaml(config_));
  }

  void expect_weights(const absl::StatusOr<TrainedModel>& model, int64_t step) {
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->global_step, step);
    EXPECT_EQ(std::vector<float>(model->weights.span().begin(), model->weights.span().end()), weights_of(step));
  }

  std::string message(const std::string& path) { return std::string(load_trained_model(path).status().message()); }

  const ModelConfig config_ = *parse_model_config(kModel, "test");
  const Network network_ = *Network::build(config_);
  TmpDir dir_;
};

TEST_F(TrainedModelTest, RunDirectoryGivesItsNewestCheckpoint) {
  const auto model = load_trained_model(dir_.path());
  expect_model(model, 10);
  EXPECT_THAT(model->warnings, IsEmpty());
}

TEST_F(TrainedModelTest, CheckpointIsNamedByPrefixOrAnyOfItsFiles) {
  expect_model(load_trained_model(dir_.file("model.ckpt-5")), 5);
  expect_model(load_trained_model(dir_.file("model.ckpt-5.index")), 5);
  expect_model(load_trained_model(dir_.file("model.ckpt-10.data-00000-of-00001")), 10);
  expect_model(load_trained_model(dir_.file("checkpoint")), 10);
}

TEST_F(TrainedModelTest, DamagedNewestCheckpointIsPassedOverWithAWarning) {
  std::filesystem::resize_file(dir_.file("model.ckpt-10.data-00000-of-00001"), 100);
  const auto model = load_trained_model(dir_.path());
  expect_model(model, 5);
  EXPECT_THAT(model->warnings, ElementsAre(HasSubstr("passing over checkpoint model.ckpt-10")));
  EXPECT_TRUE(absl::IsDataLoss(load_trained_model(dir_.file("model.ckpt-10")).status()));
}

TEST_F(TrainedModelTest, WeightsThatAreNoNumbersAreRefused) {
  TrainedModel model = *load_trained_model(dir_.path());
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    const TmpDir broken;
    // Behind the last parameter there are gaps: this is the last number of one.
    const Param& bias = network_.params()[1];
    model.weights[static_cast<size_t>(bias.offset + bias.size - 1)] = bad;
    ASSERT_TRUE(write_run_directory(model, broken.path()).ok());
    for (const auto& status : {load_trained_model(broken.path()).status(),
                               load_trained_model(broken.file("model.ckpt-10"), config_).status()}) {
      EXPECT_TRUE(absl::IsOutOfRange(status)) << status;
      EXPECT_THAT(std::string(status.message()), StartsWith(broken.file("model.ckpt-10: non-finite conv2d/bias: ")));
    }
  }
}

TEST_F(TrainedModelTest, NetworkMayBeGivenApart) {
  LOCKSTEP_CHECK(remove_file(dir_.file("model.yaml")).ok());
  expect_model(load_trained_model(dir_.path(), config_), 10);
  expect_model(load_trained_model(dir_.file("model.ckpt-5"), config_), 5);
  ModelConfig other = config_;
  std::get<ConvConfig>(other.layers[0].kind).filters = 8;
  EXPECT_THAT(
      std::string(load_trained_model(dir_.path(), other).status().message()),
      HasSubstr("variable `conv2d/kernel`: the model needs shape (3, 3, 1, 8), the checkpoint has (3, 3, 1, 4)"));
}

TEST_F(TrainedModelTest, OtherPathsAreNoModels) {
  EXPECT_THAT(message(dir_.file("model.yaml")), StartsWith(dir_.file("model.yaml") + ": not a model: a file of"));
  for (const std::string suffix : {"", ".index"}) {
    EXPECT_THAT(
        message(dir_.file("model.ckpt-7") + suffix),
        AllOf(StartsWith(dir_.file("model.ckpt-7") + suffix + ": no such file or directory; expected a run"),
              HasSubstr("the checkpoints there are model.ckpt-10, model.ckpt-5 (did you mean `model.ckpt-5`?)")));
  }
  EXPECT_EQ(message(dir_.file("no/model")),
            dir_.file("no/model") +
                ": no such file or directory; expected a run directory (--output_dir of mnist_train), a SavedModel, an "
                "ONNX file (.onnx) or a checkpoint (such as out/model.ckpt-200)");
  EXPECT_THAT(message("/dev/null"), StartsWith("/dev/null: not a model: a pipe or a device, of which no part"));
  spill(dir_.file("cut.onnx"), "\x08");
  EXPECT_THAT(message(dir_.file("cut.onnx")),
              HasSubstr("cut.onnx: 1 bytes that are no ONNX model; damaged or cut off?"));
  const TmpDir empty;
  EXPECT_THAT(message(empty.path()), StartsWith(empty.path() + ": not a model: a directory without a model.yaml"));
  spill(empty.file("a.onnx"), "");
  EXPECT_THAT(message(empty.path()), HasSubstr("or a checkpoint (it holds a.onnx: name that file); expected a run"));
  spill(empty.file("b.onnx"), "");
  EXPECT_THAT(message(empty.path()), HasSubstr("(it holds a.onnx, b.onnx: name one of these files)"));
  spill(empty.file("model.yaml"), to_yaml(config_));
  EXPECT_THAT(message(empty.path()), HasSubstr("a directory without a checkpoint"));
}

TEST_F(TrainedModelTest, CheckpointWithoutItsNetworkSaysWhatIsMissing) {
  LOCKSTEP_CHECK(remove_file(dir_.file("model.yaml")).ok());
  EXPECT_THAT(message(dir_.file("model.ckpt-5")), HasSubstr("there is neither " + dir_.file("model.yaml")));
}

TEST_F(TrainedModelTest, GivenNetworkMustBeTheRunsOwn) {
  ModelConfig other = config_;
  other.path = "other.yaml";
  std::get<ConvConfig>(other.layers[0].kind).filters = 8;
  EXPECT_THAT(std::string(load_trained_model(dir_.path(), other).status().message()),
              HasSubstr("another network: conv2d/kernel has shape (3, 3, 1, 8) in other.yaml, but (3, 3, 1, 4) there"));
  other = config_;
  std::get<ConvConfig>(other.layers[0].kind).relu = false;
  EXPECT_THAT(std::string(load_trained_model(dir_.path(), other).status().message()),
              HasSubstr("another network: layer 1 is `conv: "));
  other = config_;
  other.layers.insert(other.layers.begin() + 2, {.kind = DropoutConfig{0.3}});  // counts only in training
  expect_weights(load_trained_model(dir_.path(), other), 10);
}

TEST_F(TrainedModelTest, DirectoryWithoutItsNetworkStillFallsBack) {
  LOCKSTEP_CHECK(remove_file(dir_.file("model.yaml")).ok());
  std::filesystem::resize_file(dir_.file("model.ckpt-10.data-00000-of-00001"), 100);
  const auto model = load_trained_model(dir_.path(), config_);
  expect_model(model, 5);
  EXPECT_THAT(model->warnings, ElementsAre(HasSubstr("passing over checkpoint model.ckpt-10")));
}

TEST_F(TrainedModelTest, WritesARunDirectoryThatItReads) {
  const auto model = load_trained_model(dir_.path());
  ASSERT_TRUE(model.ok()) << model.status();
  const std::string copy = dir_.file("copies/one");
  ASSERT_TRUE(write_run_directory(*model, copy).ok());
  EXPECT_THAT(list_directory(copy).value(),
              testing::UnorderedElementsAre("checkpoint", "model.yaml", "model.ckpt-10.index",
                                            "model.ckpt-10.data-00000-of-00001"));
  const auto read = load_trained_model(copy);
  expect_weights(read, 10);
  EXPECT_EQ(to_yaml(read->config), to_yaml(config_));
  EXPECT_TRUE(absl::IsAlreadyExists(write_run_directory(*model, copy)));
  EXPECT_TRUE(absl::IsAlreadyExists(write_run_directory(*model, dir_.path())));
}

TEST_F(TrainedModelTest, FailedWriteLeavesNothingInTheWayOfTheNext) {
  const auto model = load_trained_model(dir_.path());
  ASSERT_TRUE(model.ok()) << model.status();
  for (const size_t space : {0, 50, 150, 400, 900}) {
    const std::string fresh = dir_.file(fmt::format("fresh{}", space)), used = dir_.file(fmt::format("used{}", space));
    ASSERT_TRUE(make_directories(used).ok());
    ASSERT_TRUE(write_file_atomic(join_path(used, "notes.txt"), "mine").ok());
    for (const std::string& directory : {fresh, used}) {
      NoSpaceAfter full(space);
      const ScopedFileHooks hooks(&full);
      const absl::Status status = write_run_directory(*model, directory);
      EXPECT_THAT(std::string(status.message()), HasSubstr("No space left")) << space << " " << status;
    }
    EXPECT_FALSE(is_directory(fresh));
    EXPECT_THAT(list_directory(used).value(), ElementsAre("notes.txt"));
    for (const std::string& directory : {fresh, used}) {
      ASSERT_TRUE(write_run_directory(*model, directory).ok()) << space;
      expect_weights(load_trained_model(directory), 10);
    }
  }
}

// One operation on files that changes something fails, the `at`-th from 0; everything after it works.
class FailNth : public FileHooks {
 public:
  explicit FailNth(int at) : left_(at) {}
  absl::Status before(FileOp op, const std::string& path, size_t* bytes) override {
    if (op == FileOp::kOpen || left_-- != 0) return absl::OkStatus();
    *bytes /= 2;
    return absl::ErrnoToStatus(EIO, fmt::format("{}: injected failure of {}", path, file_op_name(op)));
  }
  bool failed() const { return left_ < 0; }

 private:
  std::atomic<int> left_;
};

// In a directory with files of its owner: only what was written goes.
TEST_F(TrainedModelTest, FailureAtAnyStepLeavesTheDirectoryAsItWas) {
  const auto model = load_trained_model(dir_.path());
  ASSERT_TRUE(model.ok()) << model.status();
  bool failed = true;
  int at = 0;
  for (; failed; ++at) {
    ASSERT_LT(at, 100);
    const std::string used = dir_.file(fmt::format("used{}", at)), fresh = dir_.file(fmt::format("fresh{}", at));
    ASSERT_TRUE(make_directories(used).ok());
    spill(join_path(used, "notes.txt"), "mine");
    for (const std::string& directory : {used, fresh}) {
      FailNth fail(at);
      const ScopedFileHooks hooks(&fail);
      const absl::Status status = write_run_directory(*model, directory);
      failed = fail.failed();
      EXPECT_EQ(status.ok(), !failed) << at << ": " << status;
    }
    if (!failed) break;
    EXPECT_THAT(list_directory(used).value(), ElementsAre("notes.txt")) << at;
    EXPECT_FALSE(file_exists(fresh)) << at;
    ASSERT_TRUE(write_run_directory(*model, used).ok()) << at;
    expect_weights(load_trained_model(used), 10);
  }
  EXPECT_GT(at, 10);
}

TEST_F(TrainedModelTest, AnotherNetworkIsNotWrittenOver) {
  const auto model = load_trained_model(dir_.path());
  ASSERT_TRUE(model.ok()) << model.status();
  const std::string directory = dir_.file("mine"), yaml = join_path(directory, "model.yaml");
  ASSERT_TRUE(make_directories(directory).ok());
  spill(yaml, "# mine\n" + to_yaml(config_));
  const absl::Status status = write_run_directory(*model, directory);
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_EQ(slurp(yaml), "# mine\n" + to_yaml(config_));
  spill(yaml, to_yaml(config_));
  spill(join_path(directory, "events.out.tfevents.1"), "a run");
  EXPECT_TRUE(absl::IsAlreadyExists(write_run_directory(*model, directory)));
  LOCKSTEP_CHECK(remove_file(join_path(directory, "events.out.tfevents.1")).ok());
  // What a killed import of the same model leaves.
  ASSERT_TRUE(write_run_directory(*model, directory).ok());
  expect_weights(load_trained_model(directory), 10);
}

TEST_F(TrainedModelTest, KilledWriteIsDoneAgain) {
  const auto model = load_trained_model(dir_.path());
  ASSERT_TRUE(model.ok()) << model.status();
  bool is_killed = true;
  for (int at = 0; is_killed; ++at) {
    ASSERT_LT(at, 100);
    const std::string directory = dir_.file(fmt::format("killed{}", at));
    {
      CrashAt crash(at);
      const ScopedFileHooks hooks(&crash);
      is_killed = !write_run_directory(*model, directory).ok();
    }
    const absl::Status again = write_run_directory(*model, directory);
    // Killed behind its commit point, it is a run already.
    EXPECT_TRUE(again.ok() || absl::IsAlreadyExists(again)) << at << ": " << again;
    expect_weights(load_trained_model(directory), 10);
  }
}

}  // namespace
}  // namespace lockstep
