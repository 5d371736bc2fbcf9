// SPDX-License-Identifier: Apache-2.0
// The models of tests/data/tensorflow_models, and what each of them must become.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/nn/network.h"
#include "core/nn/trained_model.h"
#include "serve/predictor.h"
#include "tests/support/fault_file.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {

inline std::string model_file(const std::string& name) {
  return join_path(LOCKSTEP_SOURCE_DIR "/tests/data/tensorflow_models", name);
}

// The network that all of them hold, without dropout.
inline constexpr char kImportedModel[] = R"(
image: {height: 8, width: 8}
classes: 3
layers:
  - conv: {filters: 4, kernel: 3, activation: relu}
  - max_pool: {window: 2}
  - conv: {filters: 5, kernel: 3, activation: relu}
  - max_pool: {window: 2}
  - dense: {units: 6, activation: relu}
  - dense: {units: 3}
)";

// What the graphs hold that the tests of importing write by hand.
inline constexpr char kHandMadeNetwork[] = R"(
image: {height: 4, width: 4}
classes: 3
layers:
  - conv: {filters: 2, kernel: 3, activation: relu}
  - max_pool: {window: 2}
  - dense: {units: 3}
)";

// A graph written by hand: HandMade has import(), and kFile, by which its errors call it.
template <typename HandMade>
class HandMadeImport : public testing::Test {
 protected:
  // The import fails with a message that begins with the file and has every one of these in it.
  void expect_error(absl::StatusCode code, const std::vector<std::string>& parts) {
    const absl::Status status = graph_.import().status();
    EXPECT_EQ(status.code(), code) << status;
    for (const std::string& part : parts) EXPECT_THAT(std::string(status.message()), testing::HasSubstr(part));
    EXPECT_THAT(std::string(status.message()), testing::StartsWith(std::string(HandMade::kFile) + ": "));
  }
  void expect_unsupported(const std::vector<std::string>& parts) {
    expect_error(absl::StatusCode::kUnimplemented, parts);
  }
  void expect_invalid(const std::vector<std::string>& parts) {
    expect_error(absl::StatusCode::kInvalidArgument, parts);
  }

  HandMade graph_;
};

// The same with a dropout before the last layer.
inline ModelConfig imported_config(double dropout_rate = 0) {
  ModelConfig config = *parse_model_config(kImportedModel, "test");
  if (dropout_rate > 0) config.layers.insert(config.layers.end() - 1, {.kind = DropoutConfig{dropout_rate}});
  return config;
}

inline std::vector<float> floats_of(const std::string& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

// (examples, classes) for inputs (examples, H * W * C).
inline std::vector<float> probabilities_of(const TrainedModel& model, const std::vector<float>& inputs) {
  auto shared = std::make_shared<TrainedModel>();
  shared->config = model.config;
  shared->weights = AlignedBuffer<float>(model.weights.size());
  std::copy(model.weights.span().begin(), model.weights.span().end(), shared->weights.data());
  auto predictor = Predictor::create(shared, {.capacity = 16, .threads = 1});
  LOCKSTEP_CHECK(predictor.ok());
  const auto examples = static_cast<int64_t>(inputs.size()) / (*predictor)->input().size();
  std::vector<int64_t> classes(static_cast<size_t>(examples));
  std::vector<float> probabilities(classes.size() * static_cast<size_t>((*predictor)->classes()));
  LOCKSTEP_CHECK((*predictor)->predict(examples, inputs.data(), classes.data(), probabilities.data()).ok());
  return probabilities;
}

// Numbers of one network, whatever it was stored in: the bits of the weights in bytewise order of their names.
inline std::string weights_hash(const TrainedModel& model) {
  const auto network = Network::build(model.config);
  LOCKSTEP_CHECK(network.ok());
  return weights_sha256(network->params(), model.weights.data());
}

// Sums of a dozen products each, in another order than TensorFlow's.
inline constexpr float kImportTolerance = 1e-6f;

// The model computes what TensorFlow did.
inline void expect_predicts_as_tensorflow(const TrainedModel& model) {
  const std::vector<float> expected = floats_of(slurp(model_file("probabilities.f32")));
  const std::vector<float> found = probabilities_of(model, floats_of(slurp(model_file("inputs.f32"))));
  ASSERT_EQ(found.size(), 15u);
  ASSERT_EQ(expected.size(), found.size());
  for (size_t i = 0; i < found.size(); ++i) {
    const bool close = std::abs(found[i] - expected[i]) <= kImportTolerance;
    EXPECT_TRUE(close) << "probability " << i << ": " << found[i] << ", TensorFlow: " << expected[i];
  }
}

}  // namespace lockstep
