// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/nn/model_config.h"
#include "core/nn/network.h"
#include "tests/support/damage.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string model_text(const std::string& layers, const std::string& image = "{height: 28, width: 28, depth: 1}") {
  return "image: " + image + "\nclasses: 10\nlayers:\n" + layers;
}

std::string parse_error(const std::string& text) {
  const auto config = parse_model_config(text, "m.yaml");
  return config.ok() ? "no error" : std::string(config.status().message());
}

std::string build_error(const std::string& text) {
  const auto config = parse_model_config(text, "m.yaml");
  if (!config.ok()) return "parse: " + std::string(config.status().message());
  const auto network = Network::build(*config);
  return network.ok() ? "no error" : std::string(network.status().message());
}

Network shipped(const std::string& name) {
  const auto config = load_model_config(std::string(LOCKSTEP_SOURCE_DIR "/configs/models/") + name);
  EXPECT_TRUE(config.ok()) << config.status();
  auto network = Network::build(*config);
  EXPECT_TRUE(network.ok()) << network.status();
  return *std::move(network);
}

TEST(ModelConfig, UnknownKeyNamesLineAndNearestKey) {
  EXPECT_EQ(
      parse_error(model_text("  - conv: {filter: 3, kernel: 3}\n")),
      "m.yaml:4: unknown key `filter` in conv (did you mean `filters`?); known: filters, kernel, stride, padding, "
      "activation");
}

TEST(ModelConfig, UnknownLayerAndValueNameTheNearest) {
  EXPECT_THAT(parse_error(model_text("  - desne: {units: 10}\n")), HasSubstr("m.yaml:4: unknown layer `desne` (did you "
                                                                             "mean `dense`?)"));
  EXPECT_THAT(parse_error(model_text("  - dense: {units: 10, activation: rleu}\n")),
              HasSubstr("found `rleu` (did you mean `relu`?)"));
}

TEST(ModelConfig, EveryMistakeIsAnErrorWithItsPlace) {
  EXPECT_THAT(parse_error(model_text("  - dense: {units: 0}\n")), HasSubstr("m.yaml:4: `units` of dense must be"));
  EXPECT_THAT(parse_error(model_text("  - dense: {units: ten}\n")), HasSubstr("found `ten`"));
  EXPECT_THAT(parse_error(model_text("  - dense: {units: [1]}\n")), HasSubstr("a list or mapping"));
  EXPECT_THAT(parse_error(model_text("  - dense: {}\n")), HasSubstr("dense needs the key `units`"));
  EXPECT_THAT(parse_error(model_text("  - dense\n")), HasSubstr("m.yaml:4: a layer is one of"));
  EXPECT_THAT(parse_error(model_text("  - dropout: {rate: 1}\n")), HasSubstr("`rate` of dropout must be a number"));
  EXPECT_THAT(parse_error(model_text("  - dropout: {rate: .nan}\n")), HasSubstr("found `.nan`"));
  EXPECT_THAT(parse_error(model_text("  - dense: {units: 10, units: 10}\n")), HasSubstr("appears twice"));
  EXPECT_THAT(parse_error("image: {height: 28, width: 28}\nclasses: 10\n"), HasSubstr("needs the key `layers`"));
  EXPECT_THAT(parse_error("image: {height: 28, width: 28}\nclasses: 10\nlayers: []\n"), HasSubstr("1 to 256 layers"));
  EXPECT_THAT(parse_error("image: [\n"), HasSubstr("not valid YAML"));
  EXPECT_THAT(parse_error(""), HasSubstr("must be a mapping"));
}

TEST(ModelConfig, WrittenOutItReadsBackTheSame) {
  const auto config = load_model_config(LOCKSTEP_SOURCE_DIR "/configs/models/mnist_small.yaml");
  ASSERT_TRUE(config.ok()) << config.status();
  const std::string text = to_yaml(*config);
  const auto again = parse_model_config(text, "again");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(to_yaml(*again), text);
  EXPECT_THAT(text, HasSubstr("conv: {filters: 8, kernel: 5, stride: 2, padding: same, activation: relu}"));
}

// A damaged file is refused, or describes another network; one that builds can be written out and read again.
void expect_error_or_model(const std::string& text, size_t place) {
  const auto config = parse_model_config(text, "m.yaml");
  if (!config.ok()) {
    EXPECT_THAT(std::string(config.status().message()), HasSubstr("m.yaml")) << place;
    return;
  }
  const auto again = parse_model_config(to_yaml(*config), "again");
  ASSERT_TRUE(again.ok()) << place << ": " << again.status();
  EXPECT_EQ(to_yaml(*again), to_yaml(*config)) << place;
  EXPECT_EQ(Network::build(*again).ok(), Network::build(*config).ok()) << place;
}

class DamagedModelConfig : public testing::Test {
 protected:
  const std::string good_ = model_text(
      "  - conv: {filters: 4, kernel: 3, padding: same, activation: relu}\n"
      "  - max_pool: {window: 2}\n  - dropout: {rate: 0.25}\n  - dense: {units: 10}  # logits\n");
};

TEST_F(DamagedModelConfig, CutAtAnyByteIsAnErrorOrAnotherModel) {
  ASSERT_TRUE(parse_model_config(good_, "m.yaml").ok());
  for_each_cut(good_, expect_error_or_model);
}

TEST_F(DamagedModelConfig, AnyFlippedBitIsAnErrorOrAnotherModel) { for_each_bit_flip(good_, expect_error_or_model); }

TEST_F(DamagedModelConfig, WhatYamlAllowsBeyondPlainMappingsIsAnErrorOrAModel) {
  for (const char* text :
       {"&a [*a]", "--- a\n--- b", "!!binary xx", "? [1, 2]\n: 3", "{<<: {a: b}}", "*nowhere", "|\n",
        "image: &x {height: 4, width: 4}\nclasses: 2\nlayers: *x", "image: null", "[]", "%YAML 9.9"}) {
    expect_error_or_model(text, 0);
  }
}

TEST(Network, TutorialModelHasItsNamesShapesAndSize) {
  const Network network = shipped("mnist_cnn.yaml");
  EXPECT_EQ(network.params().parameter_count(), 3274634);
  std::vector<std::string> names;
  for (const Param& param : network.params().sorted_by_name()) names.push_back(param.name);
  EXPECT_THAT(names, ElementsAre("conv2d/bias", "conv2d/kernel", "conv2d_1/bias", "conv2d_1/kernel", "dense/bias",
                                 "dense/kernel", "dense_1/bias", "dense_1/kernel"));
  EXPECT_THAT(network.params()[0].shape, ElementsAre(5, 5, 1, 32));
  EXPECT_THAT(network.params()[2].shape, ElementsAre(5, 5, 32, 64));
  EXPECT_THAT(network.params()[4].shape, ElementsAre(3136, 1024));
  EXPECT_NEAR(network.train_flops(), 82.05e6, 0.01e6);
}

TEST(Network, OtherShippedModelsBuild) {
  EXPECT_EQ(shipped("mnist_small.yaml").params().parameter_count(), 14538);
  EXPECT_EQ(shipped("cifar_cnn.yaml").input().to_string(), "32x32x3");
}

TEST(Network, MistakeNamesLayerShapeAndNeed) {
  EXPECT_EQ(build_error(model_text("  - conv: {filters: 4, kernel: 5, padding: valid}\n"
                                   "  - conv: {filters: 4, kernel: 25, padding: valid}\n"
                                   "  - dense: {units: 10}\n")),
            "m.yaml:5: layer conv2d_1 got shape 24x24x4, needs at least 25x25 for a 25x25 kernel with padding valid");
  EXPECT_THAT(build_error(model_text("  - max_pool: {window: 16, stride: 16}\n  - max_pool: {window: 2}\n"
                                     "  - dense: {units: 10}\n")),
              HasSubstr("m.yaml:5: layer max_pooling2d_1 got shape 1x1x1, needs at least 2x2"));
  EXPECT_EQ(build_error(model_text("  - dense: {units: 11}\n")),
            "m.yaml:4: layer dense got shape 1x1x11, but the last layer needs 1x1x10: one logit a class (`units: 10`)");
  EXPECT_THAT(build_error(model_text("  - dense: {units: 10}\n  - dropout: {rate: 0.1}\n")),
              HasSubstr("the last layer must be dense"));
  EXPECT_THAT(build_error(model_text("  - dense: {units: 10, activation: relu}\n")), HasSubstr("activation: none"));
  EXPECT_THAT(build_error(model_text("  - dense: {units: 1048576}\n  - dense: {units: 1048576}\n")),
              HasSubstr("layer dense_1 got shape 1x1x1048576, would have"));
}

}  // namespace
}  // namespace lockstep
