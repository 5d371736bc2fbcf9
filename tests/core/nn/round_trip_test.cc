// SPDX-License-Identifier: Apache-2.0
// What we export we import again: the same layers and the same bits.
#include <gmock/gmock.h>

#include <algorithm>
#include <variant>

#include "core/nn/init.h"
#include "core/nn/onnx_export.h"
#include "core/nn/saved_model_export.h"
#include "tests/core/nn/import_fixture.h"

namespace lockstep {
namespace {

struct Described {
  std::string name;
  std::string yaml;
};
void PrintTo(const Described& network, std::ostream* stream) { *stream << network.name; }

const Described kNetworks[] = {
    {"tutorial",
     "image: {height: 28, width: 28}\nclasses: 10\nlayers:\n"
     "  - conv: {filters: 3, kernel: 5, activation: relu}\n  - max_pool: {window: 2}\n"
     "  - conv: {filters: 5, kernel: 5, activation: relu}\n  - max_pool: {window: 2}\n"
     "  - dense: {units: 20, activation: relu}\n  - dropout: {rate: 0.4}\n  - dense: {units: 10}\n"},
    {"colour",
     "image: {height: 9, width: 7, depth: 3}\nclasses: 4\nlayers:\n"
     "  - conv: {filters: 6, kernel: 3, padding: valid}\n  - max_pool: {window: 3, stride: 2, padding: same}\n"
     "  - conv: {filters: 2, kernel: 2, stride: 2, activation: relu}\n  - dense: {units: 4}\n"},
    {"dense_only",
     "image: {height: 6, width: 5}\nclasses: 3\nlayers:\n  - dense: {units: 8, activation: relu}\n"
     "  - dense: {units: 3}\n"},
    {"dense_on_colour", "image: {height: 4, width: 5, depth: 3}\nclasses: 2\nlayers:\n  - dense: {units: 2}\n"},
    {"pool_first",
     "image: {height: 8, width: 8, depth: 2}\nclasses: 3\nlayers:\n  - max_pool: {window: 2}\n"
     "  - conv: {filters: 3, kernel: 3, activation: relu}\n  - dense: {units: 3}\n"},
    {"one_pixel",
     "image: {height: 1, width: 1}\nclasses: 2\nlayers:\n  - conv: {filters: 1, kernel: 1}\n  - dense: {units: 2}\n"},
};

class NnRoundTrip : public testing::TestWithParam<Described> {
 protected:
  NnRoundTrip() : weights_(static_cast<size_t>(network_.params().buffer_size())) {
    initialize_weights(network_.params(), 3, weights_.data());
    // Biases begin at zero, which would hide one in the wrong place.
    for (const Param& param : network_.params().params()) {
      for (int64_t i = 0; i < param.size; ++i)
        weights_[static_cast<size_t>(param.offset + i)] += 0.001f * static_cast<float>(i % 97);
    }
  }

  // The same but for what no graph tells: dropout, which does nothing in an exported one, the sides of an image that is
  // flattened at once, and padding that adds nothing.
  void expect_same(const absl::StatusOr<TrainedModel>& model, int64_t step) {
    ASSERT_TRUE(model.ok()) << model.status();
    const absl::Status same = same_network(config_, model->config, "imported");
    EXPECT_TRUE(same.ok()) << same;
    EXPECT_EQ(model->global_step, step);
    EXPECT_EQ(weights_hash(*model), weights_sha256(network_.params(), weights_.data()));
  }

  const ModelConfig config_ = *parse_model_config(GetParam().yaml, "test");
  const Network network_ = *Network::build(config_);
  std::vector<float> weights_;
  TmpDir dir_;
};

TEST_P(NnRoundTrip, SavedModel) {
  const auto exported = export_saved_model(dir_.file("Servo"), config_, network_, weights_.data(), 42);
  ASSERT_TRUE(exported.ok()) << exported.status();
  expect_same(load_trained_model(dir_.file("Servo")), 42);
  const bool drops = std::any_of(config_.layers.begin(), config_.layers.end(), [](const LayerConfig& layer) {
    return std::holds_alternative<DropoutConfig>(layer.kind);
  });
  EXPECT_EQ(load_trained_model(*exported)->training_warnings.size(), drops ? 1 : 0);
  const auto described = load_trained_model(dir_.file("Servo"), config_);
  expect_same(described, 42);
  EXPECT_EQ(to_yaml(described->config), to_yaml(config_));
  EXPECT_THAT(described->training_warnings, testing::IsEmpty());
  expect_same(load_trained_model(*exported + "/saved_model.pb"), 42);
}

TEST_P(NnRoundTrip, FrozenSavedModel) {
  const auto exported =
      export_saved_model(dir_.file("Servo"), config_, network_, weights_.data(), 42, {.frozen = true});
  ASSERT_TRUE(exported.ok()) << exported.status();
  expect_same(load_trained_model(*exported), 42);
}

TEST_P(NnRoundTrip, Onnx) {
  const std::string path = dir_.file("model.onnx");
  ASSERT_TRUE(export_onnx(path, config_, network_, weights_.data(), 42).ok());
  expect_same(load_trained_model(path), 42);
}

INSTANTIATE_TEST_SUITE_P(Networks, NnRoundTrip, testing::ValuesIn(kNetworks),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace lockstep
