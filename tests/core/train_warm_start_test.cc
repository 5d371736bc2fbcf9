// SPDX-License-Identifier: Apache-2.0
// Runs that begin with the weights of another model, and runs that continue from an imported one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/nn/checkpoint.h"
#include "core/nn/saved_model_export.h"
#include "core/nn/trained_model.h"
#include "core/train/agree.h"
#include "core/train/warm_start.h"
#include "tests/core/train_run_fixture.h"
#include "tests/support/fault_file.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A finished run in `source`, to start from.
class TrainWarmStart : public TrainRun {
 protected:
  TrainWarmStart() {
    TrainConfig first = config_;
    first.output_dir = source_;
    first.seed = 5;
    LOCKSTEP_CHECK(run(first).ok());
    config_.warm_start = source_;
  }

  std::string sha_of(const std::string& path) const {
    const auto model = load_trained_model(path);
    LOCKSTEP_CHECK(model.ok());
    const Network network = *Network::build(model->config);
    return weights_sha256(network.params(), model->weights.data());
  }

  const std::string source_ = dir_.file("source");
};

TEST_F(TrainWarmStart, RunOfNoStepsHasTheSourcesWeights) {
  config_.train_steps = 0;
  for (const int ranks : {1, 3}) EXPECT_EQ(trained_sha(ranks), sha_of(source_)) << ranks;
  EXPECT_THAT(slurp(file("warm_start.yaml")), HasSubstr("weights_sha256: " + sha_of(source_)));
  const auto begun = load_checkpoint(file("model.ckpt-0"));
  ASSERT_TRUE(begun.ok()) << begun.status();
  float power = 0;
  ASSERT_TRUE(begun->read("beta1_power", {}, {&power, 1}).ok());
  EXPECT_EQ(power, 0.9f);  // Adam begins anew
}

TEST_F(TrainWarmStart, ResultIsTheSameForEveryRankCountAndSource) {
  const std::string sha = trained_sha();
  for (const int ranks : {2, 3}) EXPECT_EQ(trained_sha(ranks), sha) << ranks;
  // What counts is what the source holds: the same weights as a SavedModel.
  const auto model = load_trained_model(source_);
  ASSERT_TRUE(model.ok());
  const auto exported = export_saved_model(dir_.file("exported"), model->config, *Network::build(model->config),
                                           model->weights.data(), model->global_step);
  ASSERT_TRUE(exported.ok()) << exported.status();
  config_.warm_start = dir_.file("exported");
  EXPECT_EQ(trained_sha(), sha);
  config_.warm_start = "";
  EXPECT_NE(trained_sha(), sha);
}

TEST_F(TrainWarmStart, ResumedRunEqualsTheUndisturbedOneOnAnotherNumberOfRanks) { expect_resumed_equals_undisturbed(); }

TEST_F(TrainWarmStart, CheckpointInTheOutputDirectoryWins) {
  TrainConfig half = config_;
  half.train_steps = 5;
  ASSERT_TRUE(run(half).ok());
  testing::internal::CaptureStderr();
  ASSERT_TRUE(run(config_).ok());
  EXPECT_THAT(
      testing::internal::GetCapturedStderr(),
      HasSubstr("--warm_start=" + source_ + " is not used: " + config_.output_dir + " has a checkpoint already"));
  EXPECT_EQ(run_json()["resumed_from"], 5);
}

TEST_F(TrainWarmStart, RunContinuesWithoutTheFlagToo) {
  const std::string sha = trained_sha();
  std::filesystem::remove_all(config_.output_dir);
  TrainConfig half = config_;
  half.train_steps = 5;
  ASSERT_TRUE(run(half).ok());
  std::filesystem::remove_all(source_);
  config_.warm_start = "";
  ASSERT_TRUE(run(config_).ok());
  EXPECT_EQ(run_json()["weights_sha256"], sha);
  EXPECT_TRUE(file_exists(file("warm_start.yaml")));
}

TEST_F(TrainWarmStart, ResumeWithOtherWeightsIsRefused) {
  trained_sha();
  TrainConfig other = config_;
  other.output_dir = dir_.file("other");
  other.warm_start = "";
  ASSERT_TRUE(run(other).ok());
  config_.train_steps = 20;
  config_.warm_start = other.output_dir;
  const absl::Status status = run(config_, 2);
  EXPECT_TRUE(is_agreed(status));
  EXPECT_THAT(message_of(status), AllOf(HasSubstr("warm_start: `weights_sha256: " + sha_of(source_)),
                                        HasSubstr("`weights_sha256: " + sha_of(other.output_dir) + "` now")));
}

TEST_F(TrainWarmStart, RunFromTheSeedDoesNotTurnIntoOne) {
  const std::string source = config_.warm_start;
  config_.warm_start = "";
  trained_sha();
  config_.train_steps = 20;
  config_.warm_start = source;
  EXPECT_THAT(message_of(run(config_)), HasSubstr("warm_start: none in the saved run, weights " + sha_of(source)));
}

TEST_F(TrainWarmStart, AnotherNetworkIsNamedByLayerAndShapes) {
  std::string yaml = kTinyModel;
  yaml.replace(yaml.find("units: 12"), 9, "units: 14");
  spill(config_.model, yaml);
  const absl::Status status = run(config_, 2);
  EXPECT_TRUE(is_agreed(status));
  EXPECT_THAT(message_of(status),
              AllOf(HasSubstr("--warm_start: " + source_),
                    HasSubstr("dense/kernel has shape (8, 14) in " + config_.model), HasSubstr("(8, 12) there")));
  EXPECT_FALSE(file_exists(file("model.yaml")));
}

TEST_F(TrainWarmStart, MissingSourceIsAnError) {
  config_.warm_start = dir_.file("nowhere");
  const absl::Status status = run(config_, 2);
  EXPECT_TRUE(is_agreed(status));
  EXPECT_THAT(message_of(status), AllOf(HasSubstr("--warm_start: "), HasSubstr("nowhere")));
}

TEST_F(TrainWarmStart, NonFiniteWeightIsNamed) {
  auto model = load_trained_model(source_);
  ASSERT_TRUE(model.ok());
  const Network network = *Network::build(model->config);
  model->weights[static_cast<size_t>(network.params()[1].offset)] = std::numeric_limits<float>::quiet_NaN();
  ASSERT_TRUE(write_run_directory(*model, dir_.file("broken")).ok());
  EXPECT_THAT(message_of(load_warm_start(dir_.file("broken"), model->config, network).status()),
              HasSubstr("non-finite conv2d/bias"));
}

// What `lockstep import` writes is a run that has done its steps: Adam begins anew.
TEST_F(TrainWarmStart, ImportedModelIsContinued) {
  const auto model = load_trained_model(source_);
  ASSERT_TRUE(model.ok());
  config_.warm_start = "";
  config_.train_steps = 20;
  std::string sha;
  for (const int ranks : {1, 2}) {
    std::filesystem::remove_all(config_.output_dir);
    ASSERT_TRUE(write_run_directory(*model, config_.output_dir).ok());
    const absl::Status status = run(config_, ranks);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(run_json()["resumed_from"], 12);
    EXPECT_EQ(run_json()["steps"], 20);
    if (sha.empty()) sha = run_json()["weights_sha256"].get<std::string>();
    EXPECT_EQ(run_json()["weights_sha256"], sha) << ranks;
  }
  // The weights count, unlike those of the seed.
  std::filesystem::remove_all(config_.output_dir);
  EXPECT_NE(trained_sha(), sha);
}

TEST_F(TrainWarmStart, ImportedModelWinsOverAWarmStart) {
  const auto model = load_trained_model(source_);
  ASSERT_TRUE(model.ok() && write_run_directory(*model, config_.output_dir).ok());
  config_.train_steps = 13;
  const absl::Status status = run(config_);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(run_json()["resumed_from"], 12);
}

TEST_F(TrainWarmStart, CheckpointWithPartOfAdamIsRefused) {
  const auto model = load_trained_model(source_);
  ASSERT_TRUE(model.ok());
  const Network network = *Network::build(model->config);
  CheckpointData data{.global_step = 3, .tensors = {}};
  for (const Param& param : network.params().params()) {
    data.tensors.push_back(
        {param.name, param.shape, {model->weights.data() + param.offset, static_cast<size_t>(param.size)}});
  }
  const float power = 0.5f;
  data.tensors.push_back({"beta1_power", {}, {&power, 1}});
  auto manager = CheckpointManager::create(config_.output_dir).value();
  ASSERT_TRUE(manager->save_async(data).ok() && manager->wait().ok());
  config_.warm_start = "";
  EXPECT_THAT(message_of(run(config_)), HasSubstr("conv2d/kernel/Adam"));
}

}  // namespace
}  // namespace lockstep
