// SPDX-License-Identifier: Apache-2.0
// Whole training runs on tiny random images, the ranks as threads of this process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/nn/grad_buckets.h"
#include "core/nn/graph_export.h"
#include "core/nn/model_config.h"
#include "core/nn/network.h"
#include "core/nn/saved_model_export.h"
#include "core/nn/trained_model.h"
#include "core/train/agree.h"
#include "tests/core/train_run_fixture.h"
#include "tests/io/event_tags.h"
#include "tests/support/backends.h"
#include "tests/support/fault_file.h"

namespace lockstep {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST_F(TrainRun, WeightsAreTheSameForEveryRankAndThreadCount) {
  const std::string sha = trained_sha();
  ASSERT_EQ(sha.size(), 64u);
  for (const int ranks : {2, 3, 4}) EXPECT_EQ(trained_sha(ranks), sha) << ranks;
  config_.threads = 2;
  EXPECT_EQ(trained_sha(1), sha);
  EXPECT_EQ(trained_sha(2), sha);
  config_.seed = 2;
  EXPECT_NE(trained_sha(1), sha);
}

// The first dense layer has so many weights that ranks exchange its operands, but for the transport that sends
// messages; the second has too few. With two layers that do, and one between that does not, each still has its own
// bucket.
TEST_F(TrainRun, ExchangedOperandsTrainTheWeightsOfExchangedGradients) {
  ASSERT_TRUE(write_file_atomic(config_.model, R"(
image: {height: 4, width: 3}
classes: 10
layers:
  - conv: {filters: 16, kernel: 3, activation: relu}
  - dense: {units: 150, activation: relu}
  - dropout: {rate: 0.3}
  - dense: {units: 8}
  - dense: {units: 230, activation: relu}
  - dense: {units: 250}
  - dense: {units: 10}
)")
                  .ok());
  config_.train_batch_size = 11;
  const auto network = Network::build(*load_model_config(config_.model));
  ASSERT_TRUE(network.ok()) << network.status();
  ASSERT_THAT(layers_that_give_operands(*network, 11, 1),
              testing::ElementsAre(false, true, false, false, false, true, false));
  const std::string sha = trained_sha();
  for (const char* transport : {"shm", "mpi"}) {
    config_.transport = transport;
    for (const int ranks : {2, 3, 4, 8}) EXPECT_EQ(trained_sha(ranks), sha) << ranks << " ranks, " << transport;
  }
  config_.transport = "auto";
  config_.threads = 2;
  for (const int ranks : {1, 2}) EXPECT_EQ(trained_sha(ranks), sha) << ranks << " ranks, 2 threads";
}

TEST_F(TrainRun, EvaluationIsTheSameForEveryRankCount) {
  trained_sha(1);
  const json one = run_json();
  trained_sha(3);
  const json three = run_json();
  EXPECT_EQ(one["loss"], three["loss"]);
  EXPECT_EQ(one["accuracy"], three["accuracy"]);
  EXPECT_GT(one["loss"].get<double>(), 0);
}

TEST_F(TrainRun, WeightsAreTheSameForEveryInstructionSetWithFusedMultiplyAdd) {
  std::string sha;
  for (const BackendCase& backend : simd_backends()) {
    if (backend.name != "simd_AVX2" && !backend.name.starts_with("simd_AVX3")) continue;
    const ScopedBackend scope(backend);
    if (sha.empty()) sha = trained_sha(2);
    EXPECT_EQ(trained_sha(1), sha) << backend.name;
  }
}

TEST_F(TrainRun, NonFiniteLossNamesStepRankAndLayer) {
  config_.learning_rate = 1e30;
  const absl::Status status = run(config_);
  EXPECT_THAT(message_of(status), HasSubstr("non-finite loss at step 1 on rank 0"));
  EXPECT_THAT(message_of(status), HasSubstr("layer "));
}

TEST_F(TrainRun, NonFiniteWeightsAreNotSaved) {
  config_.learning_rate = 1e38;
  config_.train_steps = 1;
  config_.adam_epsilon = 1e-30;
  config_.adam_beta1 = 0.999;  // the first step's learning rate is multiplied by 1 / (1 - beta1)
  config_.adam_beta2 = 0;
  EXPECT_THAT(message_of(run(config_)), HasSubstr("non-finite weights in "));
  EXPECT_FALSE(file_exists(file("model.ckpt-1.index")));
}

TEST_F(TrainRun, MoreRanksThanSlicesIsAnError) {
  config_.grad_slices = 2;
  const absl::Status status = run(config_, 3);
  EXPECT_TRUE(is_agreed(status));
  EXPECT_THAT(message_of(status), HasSubstr("3 ranks need --grad_slices of at least 3, found 2: start at most 2 ranks, "
                                            "or set --grad_slices=4"));
  EXPECT_FALSE(file_exists(config_.output_dir));
}

TEST_F(TrainRun, WrongImageSizeNamesBothShapes) {
  ASSERT_TRUE(write_file_atomic(config_.model,
                                "image: {height: 28, width: 28}\nclasses: 10\n"
                                "layers: [{dense: {units: 10}}]")
                  .ok());
  EXPECT_THAT(message_of(run(config_)), HasSubstr("images are 4x3x1 (height, width, depth), but"));
}

TEST_F(TrainRun, LabelBeyondTheClassesIsAnError) {
  ASSERT_TRUE(write_file_atomic(config_.model,
                                "image: {height: 4, width: 3}\nclasses: 2\n"
                                "layers: [{dense: {units: 2}}]")
                  .ok());
  EXPECT_THAT(message_of(run(config_)), HasSubstr("label"));
}

TEST_F(TrainRun, MissingDataDirectoryIsAnError) {
  config_.data_dir = dir_.file("nowhere");
  const absl::Status status = run(config_, 2);
  EXPECT_TRUE(is_agreed(status));
  EXPECT_THAT(message_of(status), HasSubstr("nowhere is no directory"));
}

TEST_F(TrainRun, BatchSmallerThanTheSlicesTrains) {
  config_.train_batch_size = 3;
  const std::string sha = trained_sha();
  EXPECT_EQ(trained_sha(4), sha);
}

TEST_F(TrainRun, LeavesEverythingThatTheDesignNames) {
  trained_sha(2);
  for (const char* name : {"checkpoint", "model.ckpt-12.index", "config.yaml", "model.yaml", "metrics.jsonl"}) {
    EXPECT_TRUE(file_exists(file(name))) << name;
  }
  const json run = run_json();
  for (const char* key : {"config", "version", "backend", "ranks", "threads", "steps", "examples", "wall_seconds",
                          "images_per_s", "accuracy", "loss", "peak_memory_bytes", "weights_sha256"}) {
    EXPECT_TRUE(run.contains(key)) << key;
  }
  EXPECT_EQ(run["ranks"], 2);
  EXPECT_EQ(run["examples"], 12 * 21);
  EXPECT_EQ(run["config"]["train_batch_size"], 21);
}

TEST_F(TrainRun, TellsTensorBoardEverything) {
  trained_sha(2);
  const auto tags = event_tags(config_.output_dir), eval_tags = event_tags(file("eval"));
  for (const char* tag : {"OptimizeLoss", "loss", "global_step/sec", "images_per_sec", "learning_rate"}) {
    EXPECT_EQ(tags.count(tag), 3u) << tag;  // at steps 4, 8 and 12
  }
  for (const char* rank : {"rank_0/", "rank_1/"}) {
    for (const char* tag : {"cpu_percent", "resident_memory_bytes", "communication_seconds"}) {
      EXPECT_EQ(tags.count(std::string(rank) + tag), 3u) << rank << tag;
    }
  }
  for (const char* variable : {"conv2d/kernel", "conv2d/bias", "dense/kernel", "dense_1/bias"}) {
    EXPECT_EQ(tags.count(variable), 1u) << variable;
  }
  EXPECT_EQ(eval_tags.count("accuracy"), 1u);
  EXPECT_EQ(eval_tags.count("loss"), 1u);
  EXPECT_THAT(eval_tags, testing::Contains(testing::MatchesRegex("mistakes/0_true_[0-9]+_predicted_[0-9]+")));
}

// The versions in export/Servo.
class TrainRunExport : public TrainRun {
 protected:
  std::string base() const { return file("export/Servo"); }
  std::vector<std::string> exports() const { return list_directory(base()).value(); }
};

TEST_F(TrainRun, ShowsTensorBoardTheGraphOnce) {
  TrainConfig half = config_;
  half.train_steps = 4;
  ASSERT_TRUE(run(half, 2).ok());
  ASSERT_TRUE(run(config_).ok());
  const ModelConfig model = *load_model_config(config_.model);
  EXPECT_THAT(event_graphs(config_.output_dir), testing::ElementsAre(*graph_bytes(model, *Network::build(model))));
  EXPECT_THAT(event_graphs(file("eval")), testing::IsEmpty());
}

TEST_F(TrainRunExport, HoldsTheWeightsAtTheEnd) {
  trained_sha(2);
  EXPECT_EQ(exports().size(), 1u);
  const auto model = load_trained_model(file("model.ckpt-12"));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_TRUE(holds_export_of(base(), *Network::build(model->config), model->weights.data(), 12));
}

TEST_F(TrainRunExport, IsMadeAgainOnlyForWhatIsNew) {
  trained_sha();
  const std::vector<std::string> first = exports();
  ASSERT_TRUE(run(config_).ok());
  EXPECT_EQ(exports(), first);
  config_.train_steps = 16;
  ASSERT_TRUE(run(config_, 2).ok());
  EXPECT_EQ(exports().size(), 1u);
  EXPECT_NE(exports(), first);
  config_.train_steps = 18;
  config_.exports_to_keep = 2;
  ASSERT_TRUE(run(config_).ok());
  EXPECT_EQ(exports().size(), 2u);
}

TEST_F(TrainRunExport, IsNotThereWhenNotWanted) {
  config_.export_model = false;
  trained_sha();
  EXPECT_FALSE(file_exists(file("export")));
}

TEST_F(TrainRunExport, FailureKeepsTheRunAndIsTriedAgain) {
  {
    FailOn fault(FileOp::kWrite, "saved_model.pb");
    const ScopedFileHooks hooks(&fault);
    const absl::Status status = run(config_, 2);
    EXPECT_TRUE(is_agreed(status));
    EXPECT_THAT(message_of(status), testing::AllOf(HasSubstr("injected failure"), HasSubstr("lockstep export")));
  }
  EXPECT_THAT(exports(), testing::IsEmpty());
  EXPECT_TRUE(file_exists(file("model.ckpt-12.index")));
  EXPECT_EQ(run_json()["steps"], 12);
  ASSERT_TRUE(run(config_).ok());
  EXPECT_EQ(exports().size(), 1u);
}

TEST(ProgressLine, TellsShareSpeedAndTimeLeft) {
  EXPECT_EQ(progress_line({.step = 25, .last_step = 100, .steps_per_s = 5, .batch = 100}),
            "step 25 of 100 (25 %)  500 images/s  15 s left");
}

TEST(SavingDictLine, ReadsLikeTensorFlows) {
  EvalResult result;
  result.accuracy = 0.9931;
  result.loss = 0.0315906;
  EXPECT_EQ(saving_dict_line(10000, result),
            "Saving dict for global step 10000: accuracy = 0.9931, global_step = 10000, loss = 0.0315906");
}

}  // namespace
}  // namespace lockstep
