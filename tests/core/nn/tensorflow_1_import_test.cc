// SPDX-License-Identifier: Apache-2.0
// What TensorFlow 1.15 itself wrote (tests/data/tensorflow_1/make.py): an Estimator's checkpoint and export of the
// tutorial's program, the indexes compressed by TensorFlow's own table writer.
#include <gmock/gmock.h>

#include "io/tensor_bundle.h"
#include "tests/core/nn/import_fixture.h"

namespace lockstep {
namespace {

using testing::IsEmpty;

constexpr int64_t kSteps = 60;
const std::string kFolder = LOCKSTEP_SOURCE_DIR "/tests/data/tensorflow_1/";
const std::string kCheckpoint = kFolder + "run/model.ckpt-60";

ModelConfig trained_network() {
  ModelConfig config = imported_config(0.25);
  config.path = "thumbnail.yaml";
  return config;
}

void expect_answers_of_tensorflow_1(const absl::StatusOr<TrainedModel>& model) {
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->global_step, kSteps);
  EXPECT_THAT(model->warnings, IsEmpty());
  const std::vector<float> expected = floats_of(slurp(kFolder + "probabilities.f32"));
  const std::vector<float> found = probabilities_of(*model, floats_of(slurp(kFolder + "inputs.f32")));
  ASSERT_EQ(expected.size(), 15u);
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_TRUE(std::abs(found[i] - expected[i]) <= kImportTolerance) << i << ": " << found[i] << ", " << expected[i];
  }
}

TEST(NnTensorFlow1, EstimatorsExportIsImported) {
  const auto model = load_trained_model(kFolder + "export");
  expect_answers_of_tensorflow_1(model);
  EXPECT_EQ(to_yaml(model->config), to_yaml(imported_config()));
}

TEST(NnTensorFlow1, EstimatorsCheckpointIsImportedByItsGraph) {
  for (const std::string& path : {kCheckpoint, kFolder + "run"}) {
    const auto model = load_trained_model(path);
    expect_answers_of_tensorflow_1(model);
    EXPECT_EQ(to_yaml(model->config), to_yaml(trained_network()));
    EXPECT_EQ(model->origin, kCheckpoint);
  }
}

TEST(NnTensorFlow1, EstimatorsCheckpointIsImportedByItsNames) {
  expect_answers_of_tensorflow_1(load_trained_model(kCheckpoint, trained_network()));
}

TEST(NnTensorFlow1, AllThreeGiveTheSameWeights) {
  const auto exported = load_trained_model(kFolder + "export"), by_graph = load_trained_model(kCheckpoint),
             by_name = load_trained_model(kCheckpoint, trained_network());
  ASSERT_TRUE(exported.ok() && by_graph.ok() && by_name.ok());
  EXPECT_EQ(weights_hash(*exported), weights_hash(*by_graph));
  EXPECT_EQ(weights_hash(*exported), weights_hash(*by_name));
}

// That this is what the fixture is for. The only block of entries comes first, and the block that the footer begins
// with behind it; five bytes of trailer between them begin with the compression.
TEST(NnTensorFlow1, BlocksOfTheIndexesAreCompressed) {
  for (const std::string& index : {kCheckpoint + ".index", kFolder + "export/variables/variables.index"}) {
    const std::string table = slurp(index);
    constexpr size_t kFooterBytes = 48, kTrailerBytes = 5;
    ASSERT_GT(table.size(), kFooterBytes);
    const auto byte = [&](size_t at) { return static_cast<size_t>(static_cast<unsigned char>(table.at(at))); };
    const size_t footer = table.size() - kFooterBytes;
    const size_t metaindex = (byte(footer) & 127) | byte(footer + 1) << 7;  // a varint of two bytes
    ASSERT_GE(byte(footer), 128u);
    ASSERT_LT(byte(footer + 1), 128u);
    EXPECT_EQ(byte(metaindex - kTrailerBytes), 1u) << index << ": 0 none, 1 snappy";
  }
}

TEST(NnTensorFlow1, SlotsOfTheOptimizerAreThere) {
  const auto reader = TensorBundleReader::open(kCheckpoint);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->entries().size(), 8u * 3 + 3);  // each with two slots; beta1_power, beta2_power, global_step
  EXPECT_TRUE((*reader)->entries().contains("dense_1/kernel/Adam_1"));
}

}  // namespace
}  // namespace lockstep
