// SPDX-License-Identifier: Apache-2.0
// A whole network, forward and backward, on the reference kernels, and forward with packed weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "core/base/rng.h"
#include "core/nn/init.h"
#include "core/nn/model.h"

namespace lockstep {
namespace {

constexpr int kSlices = 4;
constexpr int64_t kBatch = 8;
constexpr uint64_t kSeed = 3;

// Every kind of layer in both its places: a fused and a free-standing pool, dropout behind conv and behind dense.
constexpr char kModel[] = R"(
image: {height: 9, width: 8, depth: 2}
classes: 3
layers:
  - conv: {filters: 3, kernel: 3, activation: relu}
  - max_pool: {window: 2}
  - dropout: {rate: 0.2}
  - conv: {filters: 4, kernel: 3, padding: valid}
  - dropout: {rate: 0.1}
  - max_pool: {window: 2, stride: 1}
  - dense: {units: 6, activation: relu}
  - dropout: {rate: 0.3}
  - dense: {units: 3}
)";

absl::Status no_hook(int) { return absl::OkStatus(); }

Network test_network() { return *Network::build(*parse_model_config(kModel, "test")); }

// As many images for the network.
std::vector<uint8_t> random_images(const Network& network, int64_t count) {
  const RngStream rng(kSeed, RngPurpose::kTest, 0, 0);
  std::vector<uint8_t> images;
  for (int64_t i = 0; i < count * network.input().size(); ++i) {
    images.push_back(static_cast<uint8_t>(rng.bits(static_cast<uint32_t>(i)) >> 24));
  }
  return images;
}

struct Pass {
  std::vector<float> losses;
  std::vector<float> gradients;  // one partial sum per subtree
};

class ModelTest : public testing::Test {
 protected:
  ModelTest() : weights_(static_cast<size_t>(network_.params().buffer_size())) {
    initialize_weights(network_.params(), kSeed, weights_.data());
    // Biases away from zero, so that their gradients matter.
    for (const Param& param : network_.params().params()) {
      if (param.shape.size() > 1) continue;
      for (int64_t i = 0; i < param.size; ++i) {
        weights_[static_cast<size_t>(param.offset + i)] = 0.05f * static_cast<float>(i);
      }
    }
    images_ = random_images(network_, kBatch);
    for (int i = 0; i < kBatch; ++i) labels_.push_back(i % 3);
  }

  Pass run_rank(int rank, int ranks, const float* weights, ThreadPool* pool = nullptr) {
    const GradSlices slices = GradSlices::for_rank(rank, ranks, kSlices, kBatch);
    const int64_t first = slice_begin(slices.first_slice, kSlices, kBatch);
    const PassContext pass{.kernel = {Backend::kRef, pool},
                           .examples = slices.examples(),
                           .training = true,
                           .seed = kSeed,
                           .step = 5,
                           .first_example = static_cast<uint32_t>(first),
                           .slices = &slices};
    Model model(network_, kBatch, ModelUse::kTraining);
    EXPECT_TRUE(model.load_images(pass.kernel, images_.data() + first * network_.input().size(), pass.examples).ok());
    Pass run;
    run.losses.resize(static_cast<size_t>(pass.examples));
    run.gradients.resize(weights_.size() * slices.subtrees.size());
    const GradOutput out{run.gradients.data(), static_cast<int64_t>(weights_.size())};
    EXPECT_TRUE(model.forward(pass, weights, no_hook).ok());
    EXPECT_TRUE(model.loss(pass, labels_.data() + first, 1.0f / kBatch, run.losses.data()).ok());
    EXPECT_TRUE(model.backward(pass, weights, out, {}, no_hook).ok());
    return run;
  }

  double mean_loss(const float* weights) {
    double sum = 0;
    for (const float loss : run_rank(0, 1, weights).losses) sum += loss;
    return sum / kBatch;
  }

  Network network_ = test_network();
  AlignedBuffer<float> weights_;
  std::vector<uint8_t> images_;
  std::vector<int32_t> labels_;
};

// Losses are float, so the difference quotient carries about 1e-7 / step of noise; a kink in reach shows as a large
// deviation in a few entries, hence the count.
TEST_F(ModelTest, GradientMatchesFiniteDifference) {
  const Pass run = run_rank(0, 1, weights_.data());
  int checked = 0, off = 0;
  for (const Param& param : network_.params().params()) {
    for (int64_t i = 0; i < param.size; i += 3) {
      const auto at = static_cast<size_t>(param.offset + i);
      const float kept = weights_[at];
      constexpr float kStep = 2e-3f;
      weights_[at] = kept + kStep;
      const double up = mean_loss(weights_.data());
      weights_[at] = kept - kStep;
      const double down = mean_loss(weights_.data());
      weights_[at] = kept;
      const double numeric = (up - down) / (2 * kStep);
      if (!(std::abs(numeric - static_cast<double>(run.gradients[at])) <= 2e-3 * std::max(1.0, std::abs(numeric)))) {
        ++off;
      }
      ++checked;
    }
  }
  EXPECT_GT(checked, 50);
  EXPECT_LE(off, checked / 50);
}

TEST_F(ModelTest, TwoRanksPartialSumsAddToTheWhole) {
  const Pass whole = run_rank(0, 1, weights_.data());
  const Pass left = run_rank(0, 2, weights_.data());
  const Pass right = run_rank(1, 2, weights_.data());
  for (size_t i = 0; i < weights_.size(); ++i) {
    ASSERT_EQ(whole.gradients[i], left.gradients[i] + right.gradients[i]) << i;
  }
  EXPECT_EQ(whole.losses[0], left.losses[0]);
  EXPECT_EQ(whole.losses[4], right.losses[0]);
}

TEST_F(ModelTest, ThreadsDoNotChangeTheResult) {
  ThreadPool pool(2);
  const Pass one = run_rank(0, 1, weights_.data());
  const Pass two = run_rank(0, 1, weights_.data(), &pool);
  EXPECT_EQ(one.losses, two.losses);
  EXPECT_EQ(one.gradients, two.gradients);
}

TEST_F(ModelTest, HooksRunBeforeWeightsAreReadAndAfterGradientsAreDone) {
  const GradSlices slices = GradSlices::single(2);
  const PassContext pass{.kernel = {Backend::kRef, nullptr}, .examples = 2, .slices = &slices};
  Model model(network_, 2, ModelUse::kTraining);
  std::vector<int> before, after;
  std::vector<float> losses(2), gradients(weights_.size());
  ASSERT_TRUE(model
                  .forward(pass, weights_.data(),
                           [&](int layer) {
                             before.push_back(layer);
                             return absl::OkStatus();
                           })
                  .ok());
  ASSERT_TRUE(model.loss(pass, labels_.data(), 1, losses.data()).ok());
  ASSERT_TRUE(model
                  .backward(pass, weights_.data(), {gradients.data(), static_cast<int64_t>(gradients.size())}, {},
                            [&](int layer) {
                              after.push_back(layer);
                              return layer == 3 ? absl::AbortedError("enough") : absl::OkStatus();
                            })
                  .code() == absl::StatusCode::kAborted);
  EXPECT_THAT(before, testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT(after, testing::ElementsAre(7, 6, 5, 4, 3));
}

TEST_F(ModelTest, FirstNonfiniteLayerIsNamed) {
  const GradSlices slices = GradSlices::single(2);
  const PassContext pass{.kernel = {Backend::kRef, nullptr}, .examples = 2, .slices = &slices};
  Model model(network_, 2, ModelUse::kTraining);
  ASSERT_TRUE(model.load_images(pass.kernel, images_.data(), 2).ok());
  ASSERT_TRUE(model.forward(pass, weights_.data(), no_hook).ok());
  EXPECT_EQ(*model.first_nonfinite_layer(pass.kernel, 2), "");
  weights_[static_cast<size_t>(network_.params()[2].offset)] = std::numeric_limits<float>::infinity();
  ASSERT_TRUE(model.load_images(pass.kernel, images_.data(), 2).ok());
  ASSERT_TRUE(model.forward(pass, weights_.data(), no_hook).ok());
  EXPECT_EQ(*model.first_nonfinite_layer(pass.kernel, 2), "conv2d_1");
}

TEST(Model, MemoryEstimateIsWhatTheBuffersTake) {
  const Network network = test_network();
  const int64_t one = Model::memory_bytes(network, 64, ModelUse::kTraining);
  const int64_t two = Model::memory_bytes(network, 128, ModelUse::kTraining);
  EXPECT_EQ(two, 2 * one);
  EXPECT_LT(Model::memory_bytes(network, 64, ModelUse::kInference), one);
}

TEST_F(ModelTest, PackedWeightsGiveTheSameLogitsAndStandForTheirOwnWeightsAlone) {
  const PassContext pass{.kernel = {Backend::kSimd}, .examples = kBatch};
  Model model(network_, kBatch, ModelUse::kInference);
  const auto logits_of = [&](const float* weights) {
    EXPECT_TRUE(model.load_images(pass.kernel, images_.data(), kBatch).ok());
    EXPECT_TRUE(model.forward(pass, weights, no_hook).ok());
    return std::vector<float>(model.logits(), model.logits() + kBatch * network_.classes());
  };
  std::vector<float> others(weights_.data(), weights_.data() + weights_.size());
  for (float& weight : others) weight *= 2;
  const std::vector<float> expected = logits_of(weights_.data()), of_others = logits_of(others.data());
  ASSERT_NE(expected, of_others);

  ASSERT_TRUE(model.pack_weights(pass.kernel, weights_.data()).ok());
  EXPECT_EQ(logits_of(weights_.data()), expected);
  EXPECT_EQ(logits_of(others.data()), of_others);
  // That the packed ones are what is read: biases are not packed, kernels are.
  for (const Param& param : network_.params().params()) {
    if (param.shape.size() > 1) std::fill_n(weights_.data() + param.offset, param.size, 0.0f);
  }
  EXPECT_EQ(logits_of(weights_.data()), expected);
}

// Convolutions of all three ways (direct, by Fourier transforms of 32 and of 64 channels, Winograd); dropout and a pool
// of its own between them.
constexpr char kDeepModel[] = R"(
image: {height: 14, width: 14, depth: 1}
classes: 3
layers:
  - dropout: {rate: 0.1}
  - conv: {filters: 32, kernel: 3, activation: relu}
  - dropout: {rate: 0.2}
  - conv: {filters: 64, kernel: 5, activation: relu}
  - conv: {filters: 32, kernel: 5}
  - max_pool: {window: 2}
  - conv: {filters: 16, kernel: 5, activation: relu}
  - dropout: {rate: 0.2}
  - max_pool: {window: 3, stride: 2}
  - dropout: {rate: 0.2}
  - dense: {units: 3}
)";

// The logits of `examples` images in one pass, whose hook must see every layer once, in order.
std::vector<float> deep_logits(Model& model, ThreadPool* pool, const float* weights, const uint8_t* images,
                               int64_t examples) {
  const PassContext pass{.kernel = {Backend::kSimd, pool}, .examples = examples};
  std::vector<int> layers;
  EXPECT_TRUE(model.load_images(pass.kernel, images, examples).ok());
  EXPECT_TRUE(model
                  .forward(pass, weights,
                           [&](int layer) {
                             layers.push_back(layer);
                             return absl::OkStatus();
                           })
                  .ok());
  EXPECT_EQ(std::ssize(layers), model.network().layer_count());
  EXPECT_TRUE(std::ranges::is_sorted(layers));
  return std::vector<float>(model.logits(), model.logits() + examples * model.network().classes());
}

// Groups of images through several layers, in memory that each thread uses again: every example must come out as it
// does alone, whatever the number of examples and threads.
TEST(Model, PackedPassesOfAnySizeGiveTheLogitsOfEachExampleAlone) {
  constexpr int64_t kCapacity = 75;
  const Network network = *Network::build(*parse_model_config(kDeepModel, "test"));
  AlignedBuffer<float> weights(static_cast<size_t>(network.params().buffer_size()));
  initialize_weights(network.params(), kSeed, weights.data());
  const std::vector<uint8_t> images = random_images(network, kCapacity);
  Model whole(network, kCapacity, ModelUse::kInference);
  std::vector<float> expected;
  for (int64_t i = 0; i < kCapacity; ++i) {
    const auto logits = deep_logits(whole, nullptr, weights.data(), &images[i * network.input().size()], 1);
    expected.insert(expected.end(), logits.begin(), logits.end());
  }
  EXPECT_EQ(deep_logits(whole, nullptr, weights.data(), images.data(), kCapacity), expected);
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    Model packed(network, kCapacity, ModelUse::kInference);
    ASSERT_TRUE(packed.pack_weights({Backend::kSimd, &pool}, weights.data()).ok());
    // The last one often: threads must come to work side by side.
    std::vector<int64_t> passes{0, 1, 3, 14, 15, 29, 43, 61};
    passes.insert(passes.end(), 20, kCapacity);
    for (const int64_t examples : passes) {
      const std::vector<float> logits = deep_logits(packed, &pool, weights.data(), images.data(), examples);
      ASSERT_TRUE(std::ranges::equal(logits, std::span(expected).first(logits.size())))
          << examples << " examples, " << threads << " threads";
    }
  }
}

TEST_F(ModelTest, AnErrorOfAHookStopsAPackedPass) {
  const PassContext pass{.kernel = {Backend::kSimd}, .examples = kBatch};
  std::vector<int> layers;
  Model model(network_, kBatch, ModelUse::kInference);
  ASSERT_TRUE(model.load_images(pass.kernel, images_.data(), kBatch).ok());
  ASSERT_TRUE(model.pack_weights(pass.kernel, weights_.data()).ok());
  EXPECT_EQ(model
                .forward(pass, weights_.data(),
                         [&](int layer) {
                           layers.push_back(layer);
                           return layer == 1 ? absl::AbortedError("enough") : absl::OkStatus();
                         })
                .code(),
            absl::StatusCode::kAborted);
  EXPECT_THAT(layers, testing::ElementsAre(0, 1));
}

}  // namespace
}  // namespace lockstep
