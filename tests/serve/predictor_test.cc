// SPDX-License-Identifier: Apache-2.0
#include "serve/predictor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <numeric>
#include <thread>

#include "core/base/rng.h"
#include "core/nn/init.h"
#include "kernels/softmax_xent/softmax_xent.h"
#include "tests/support/allocation_count.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<const TrainedModel> make_model(const std::string& name) {
  auto model = std::make_shared<TrainedModel>();
  model->config = load_model_config(std::string(LOCKSTEP_SOURCE_DIR) + "/configs/models/" + name).value();
  const Network network = Network::build(model->config).value();
  model->weights = AlignedBuffer<float>(static_cast<size_t>(network.params().buffer_size()));
  initialize_weights(network.params(), 5, model->weights.data());
  model->origin = "weights";
  return model;
}

std::unique_ptr<Predictor> make_predictor(const std::shared_ptr<const TrainedModel>& model, int64_t capacity,
                                          int threads = 1) {
  auto predictor = Predictor::create(model, {.capacity = capacity, .threads = threads});
  EXPECT_TRUE(predictor.ok()) << predictor.status();
  return *std::move(predictor);
}

std::vector<float> random_inputs(int64_t count) {
  std::vector<float> inputs(static_cast<size_t>(count));
  const RngStream stream(3, RngPurpose::kTest, 0, 0);
  for (size_t i = 0; i < inputs.size(); ++i) inputs[i] = stream.uniform(static_cast<uint32_t>(i));
  return inputs;
}

struct Answer {
  std::vector<int64_t> classes;
  std::vector<float> probabilities;
  bool operator==(const Answer&) const = default;
};

// Predicts in batches of `batch`.
Answer predict(Predictor& predictor, const std::vector<float>& inputs, int64_t batch) {
  const int64_t size = predictor.input().size(), examples = static_cast<int64_t>(inputs.size()) / size;
  Answer answer{std::vector<int64_t>(static_cast<size_t>(examples)),
                std::vector<float>(static_cast<size_t>(examples * predictor.classes()))};
  for (int64_t at = 0; at < examples; at += batch) {
    const absl::Status status =
        predictor.predict(std::min(batch, examples - at), inputs.data() + at * size, answer.classes.data() + at,
                          answer.probabilities.data() + at * predictor.classes());
    EXPECT_TRUE(status.ok()) << status;
  }
  return answer;
}

class PredictorModels : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, PredictorModels, testing::Values("mnist_small.yaml", "mnist_cnn.yaml", "cifar_cnn.yaml"));

TEST_P(PredictorModels, AnExamplesBitsDoNotDependOnItsBatch) {
  const auto model = make_model(GetParam());
  const auto alone = make_predictor(model, 1);
  const std::vector<float> inputs = random_inputs(13 * alone->input().size());
  const Answer expected = predict(*alone, inputs, 1);
  for (const int64_t capacity : {2, 7, 13, 32}) {
    for (const int threads : {1, 3}) {
      const auto predictor = make_predictor(model, capacity, threads);
      EXPECT_TRUE(predict(*predictor, inputs, std::min<int64_t>(capacity, 13)) == expected) << capacity;
      EXPECT_TRUE(predict(*predictor, inputs, 1) == expected) << capacity;
    }
  }
}

TEST_P(PredictorModels, AgreesWithTheReferenceOperators) {
  const auto model = make_model(GetParam());
  const Network network = Network::build(model->config).value();
  constexpr int64_t kExamples = 3;
  const std::vector<float> inputs = random_inputs(kExamples * network.input().size());
  const Answer answer = predict(*make_predictor(model, kExamples), inputs, kExamples);

  const KernelContext reference{.backend = Backend::kRef};
  Model oracle(network, kExamples, ModelUse::kInference);
  std::copy(inputs.begin(), inputs.end(), oracle.input());
  ASSERT_TRUE(oracle
                  .forward({.kernel = reference, .examples = kExamples}, model->weights.data(),
                           [](int) { return absl::OkStatus(); })
                  .ok());
  std::vector<float> expected(answer.probabilities.size());
  ASSERT_TRUE(softmax(reference, kExamples, network.classes(), oracle.logits(), expected.data()).ok());
  const auto classes = static_cast<size_t>(network.classes());
  for (size_t i = 0; i < kExamples; ++i) {
    const auto row = answer.probabilities.begin() + static_cast<std::ptrdiff_t>(i * classes);
    EXPECT_EQ(answer.classes[i], std::max_element(row, row + static_cast<std::ptrdiff_t>(classes)) - row);
    EXPECT_NEAR(std::accumulate(row, row + static_cast<std::ptrdiff_t>(classes), 0.0), 1, 1e-6);
    for (size_t c = i * classes; c < (i + 1) * classes; ++c) EXPECT_NEAR(answer.probabilities[c], expected[c], 1e-6);
  }
}

TEST(Predictor, TellsItsShape) {
  const auto predictor = make_predictor(make_model("cifar_cnn.yaml"), 4);
  EXPECT_EQ(predictor->input(), (ImageShape{32, 32, 3}));
  EXPECT_EQ(predictor->classes(), 10);
  EXPECT_EQ(predictor->capacity(), 4);
  EXPECT_TRUE(predictor->predict(0, nullptr, nullptr, nullptr).ok());
}

TEST(Predictor, PredictsWithoutAllocating) {
  const auto predictor = make_predictor(make_model("mnist_cnn.yaml"), 8, 2);
  const std::vector<float> inputs = random_inputs(8 * predictor->input().size());
  std::vector<int64_t> classes(8);
  std::vector<float> probabilities(80);
  for (const int64_t examples : {1, 8, 3}) {
    const int64_t before = allocation_count();
    EXPECT_TRUE(predictor->predict(examples, inputs.data(), classes.data(), probabilities.data()).ok());
    EXPECT_EQ(allocation_count() - before, 0) << examples;
  }
}

TEST(Predictor, ThreadsTakeTurns) {
  const auto model = make_model("mnist_small.yaml");
  const auto shared = make_predictor(model, 4, 2);
  const std::vector<float> inputs = random_inputs(9 * shared->input().size());
  const Answer expected = predict(*shared, inputs, 4);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const auto own = make_predictor(model, 3);  // shares the weights
      for (int i = 0; i < 20; ++i)
        wrong += predict((t + i) % 2 == 0 ? *shared : *own, inputs, 1 + i % 3) == expected ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Predictor, OverflowStaysInItsOwnExample) {
  const auto predictor = make_predictor(make_model("mnist_small.yaml"), 3);
  std::vector<float> inputs = random_inputs(3 * predictor->input().size());
  const Answer clean = predict(*predictor, inputs, 3);
  std::fill_n(inputs.begin() + predictor->input().size(), predictor->input().size(), std::numeric_limits<float>::max());
  const Answer answer = predict(*predictor, inputs, 3);
  for (size_t i = 0; i < 30; ++i) {
    if (i < 10 || i >= 20) {
      EXPECT_EQ(answer.probabilities[i], clean.probabilities[i]);
    }
  }
}

TEST(Predictor, WeightsOfAnotherNetworkAreRefused) {
  auto model = std::make_shared<TrainedModel>();
  model->config = make_model("mnist_small.yaml")->config;
  model->weights = AlignedBuffer<float>(16);
  model->origin = "elsewhere";
  const auto predictor = Predictor::create(model, {});
  EXPECT_TRUE(absl::IsInvalidArgument(predictor.status()));
  EXPECT_THAT(std::string(predictor.status().message()), HasSubstr("elsewhere: expected 14"));
}

}  // namespace
}  // namespace lockstep
