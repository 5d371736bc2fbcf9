// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "core/base/aligned_buffer.h"
#include "core/base/sha256.h"
#include "core/nn/grad_buckets.h"
#include "core/nn/init.h"
#include "core/nn/model_config.h"
#include "core/nn/network.h"
#include "core/nn/param_table.h"

namespace lockstep {
namespace {

ParamTable small_table() {
  ParamTable table;
  table.add("conv2d/kernel", {3, 3, 1, 4}, 0);  // 36 floats: offset 0
  table.add("conv2d/bias", {4}, 0);             // 48
  table.add("dense/kernel", {100, 20}, 2);      // 64
  table.add("dense/bias", {20}, 2);             // 2064
  return table;
}

TEST(ParamTable, OffsetsAreAlignedAndGapsAreNotCounted) {
  const ParamTable table = small_table();
  EXPECT_EQ(table[1].offset, 48);
  EXPECT_EQ(table[2].offset, 64);
  EXPECT_EQ(table[3].offset, 2064);
  EXPECT_EQ(table.buffer_size(), 2096);
  EXPECT_EQ(table.parameter_count(), 36 + 4 + 2000 + 20);
}

TEST(ParamTable, HashCoversVariablesInNameOrderWithoutGaps) {
  const ParamTable table = small_table();
  AlignedBuffer<float> weights(static_cast<size_t>(table.buffer_size()));
  std::iota(weights.data(), weights.data() + weights.size(), 1.0f);
  std::string bytes;
  for (const int i : {1, 0, 3, 2}) {
    bytes.append(reinterpret_cast<const char*>(weights.data() + table[i].offset),
                 static_cast<size_t>(table[i].size) * sizeof(float));
  }
  EXPECT_EQ(weights_sha256(table, weights.data()), sha256_hex(bytes));
  weights[40] = -1;  // in a gap
  EXPECT_EQ(weights_sha256(table, weights.data()), sha256_hex(bytes));
}

TEST(GradBuckets, TileTheBufferInBackwardOrder) {
  const GradBuckets buckets = make_grad_buckets(small_table(), 3, {}, 0);
  ASSERT_EQ(buckets.buckets.size(), 2u);
  EXPECT_EQ(buckets.buckets[0].offset, 64);
  EXPECT_EQ(buckets.buckets[0].size, 2032);
  EXPECT_EQ(buckets.buckets[1].offset, 0);
  EXPECT_EQ(buckets.buckets[1].size, 64);
  EXPECT_THAT(buckets.last_layer, testing::ElementsAre(2, 0));
  EXPECT_THAT(buckets.bucket_of_layer, testing::ElementsAre(1, -1, 0));
}

TEST(GradBuckets, SmallOnesTakeInTheLayerBefore) {
  const GradBuckets buckets = make_grad_buckets(small_table(), 3, {}, 1 << 20);
  ASSERT_EQ(buckets.buckets.size(), 1u);
  EXPECT_EQ(buckets.buckets[0].size, 2096);
  EXPECT_THAT(buckets.last_layer, testing::ElementsAre(0));
  EXPECT_THAT(buckets.bucket_of_layer, testing::ElementsAre(0, -1, 0));
}

TEST(GradBuckets, LayersThatGiveOperandsAreAlone) {
  ParamTable table;
  for (int layer = 0; layer < 4; ++layer) table.add("dense_" + std::to_string(layer), {16}, layer);
  const GradBuckets buckets = make_grad_buckets(table, 4, {false, false, true, false}, 1 << 20);
  EXPECT_THAT(buckets.last_layer, testing::ElementsAre(3, 2, 0));
  EXPECT_THAT(buckets.bucket_of_layer, testing::ElementsAre(2, 2, 1, 0));
  EXPECT_EQ(buckets.buckets[1].offset, 32);
  EXPECT_EQ(buckets.buckets[1].size, 16);
  EXPECT_EQ(buckets.buckets[2].size, 32);
}

// 12 inputs and 20 outputs: 32 floats of operands an example, 260 parameters.
TEST(LayersThatGiveOperands, MoveFewerFloatsThanPartialSums) {
  const auto config = parse_model_config(R"(
image: {height: 3, width: 4}
classes: 20
layers:
  - dense: {units: 20}
)",
                                         "test");
  ASSERT_TRUE(config.ok()) << config.status();
  const auto network = Network::build(*config);
  ASSERT_TRUE(network.ok()) << network.status();
  const auto gives = [&](int64_t n, int ranks) -> bool { return layers_that_give_operands(*network, n, ranks).at(0); };
  EXPECT_TRUE(gives(8, 1));
  EXPECT_FALSE(gives(9, 1));
  EXPECT_TRUE(gives(5, 2));
  EXPECT_FALSE(gives(6, 2));
  EXPECT_TRUE(gives(1, 15));
  EXPECT_FALSE(gives(1, 16));
}

TEST(InitializeWeights, KernelsFillTheGlorotRangeAndBiasesAreZero) {
  const ParamTable table = small_table();
  AlignedBuffer<float> weights(static_cast<size_t>(table.buffer_size()));
  initialize_weights(table, 7, weights.data());
  const float limit = std::sqrt(6.0f / (100 + 20));
  float low = 0, high = 0, sum = 0;
  for (int64_t i = 0; i < table[2].size; ++i) {
    const float w = weights[static_cast<size_t>(table[2].offset + i)];
    low = std::min(low, w);
    high = std::max(high, w);
    sum += w;
  }
  EXPECT_GE(low, -limit);
  EXPECT_LT(low, -0.99f * limit);
  EXPECT_LT(high, limit);
  EXPECT_GT(high, 0.99f * limit);
  EXPECT_LT(std::abs(sum / 2000), limit / 20);
  for (int64_t i = 0; i < 20; ++i) EXPECT_EQ(weights[static_cast<size_t>(table[3].offset + i)], 0.0f);
  const float conv_limit = std::sqrt(6.0f / (9 * 1 + 9 * 4));
  for (int64_t i = 0; i < 36; ++i) EXPECT_LE(std::abs(weights[static_cast<size_t>(i)]), conv_limit);
}

TEST(InitializeWeights, DependsOnTheSeedAndOnNothingElse) {
  const ParamTable table = small_table();
  const auto size = static_cast<size_t>(table.buffer_size());
  AlignedBuffer<float> a(size), b(size), c(size);
  initialize_weights(table, 7, a.data());
  initialize_weights(table, 7, b.data());
  initialize_weights(table, 8, c.data());
  EXPECT_EQ(weights_sha256(table, a.data()), weights_sha256(table, b.data()));
  EXPECT_NE(weights_sha256(table, a.data()), weights_sha256(table, c.data()));
}

}  // namespace
}  // namespace lockstep
