// SPDX-License-Identifier: Apache-2.0
#include "serve/models/servable.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <numeric>

#include "core/nn/trained_model.h"
#include "serve/predictor.h"
#include "tests/serve/model_fixture.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using Answer = absl::StatusOr<PredictAnswer>;
using std::chrono::milliseconds;

constexpr int64_t kInput = 12, kClasses = 3;

std::vector<float> example(int seed) {
  std::vector<float> inputs(kInput);
  for (size_t i = 0; i < inputs.size(); ++i)
    inputs[i] = static_cast<float>((seed * 7 + static_cast<int>(i) * 5) % 17) / 16;
  return inputs;
}

std::vector<float> examples(int first, int count) {
  std::vector<float> inputs;
  for (int i = first; i < first + count; ++i) {
    const auto one = example(i);
    inputs.insert(inputs.end(), one.begin(), one.end());
  }
  return inputs;
}

std::future<Answer> ask(Servable& servable, std::vector<float> inputs, int64_t count,
                        std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max()) {
  auto promise = std::make_shared<std::promise<Answer>>();
  auto future = promise->get_future();
  servable.predict(
      {std::move(inputs), count, deadline, [promise](Answer answer) { promise->set_value(std::move(answer)); }});
  return future;
}

class ServableTest : public testing::Test {
 protected:
  void SetUp() override { write_run(run_); }

  std::shared_ptr<Servable> load(const ServableOptions& options = {}) {
    auto servable = Servable::load({"tiny", 3, "v3"}, run_, options);
    EXPECT_TRUE(servable.ok()) << servable.status();
    return *servable;
  }

  // What a predictor of the same model says of one example.
  std::vector<float> expected(int seed) {
    auto predictor = Predictor::create(std::make_shared<const TrainedModel>(load_trained_model(run_).value()), {});
    std::vector<float> probabilities(kClasses);
    int64_t type = 0;
    EXPECT_TRUE((*predictor)->predict(1, example(seed).data(), &type, probabilities.data()).ok());
    return probabilities;
  }

  const TmpDir directory_;
  const std::string run_ = directory_.path() + "/run";
};

TEST_F(ServableTest, TellsWhatItIs) {
  const auto servable = load();
  EXPECT_EQ(servable->id().model, "tiny");
  EXPECT_EQ(servable->id().version, 3);
  EXPECT_EQ(servable->id().label, "v3");
  EXPECT_EQ(servable->path(), run_);
  EXPECT_EQ(servable->input().size(), kInput);
  EXPECT_EQ(servable->classes(), kClasses);
  EXPECT_EQ(servable->global_step(), 7);
  EXPECT_EQ(servable->running(), 0);
}

TEST_F(ServableTest, AnswersAsThePredictorDoes) {
  const auto servable = load();
  const Answer answer = ask(*servable, example(1), 1).get();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->probabilities, expected(1));
  EXPECT_EQ(answer->classes.size(), 1);
  EXPECT_EQ(answer->times.batch_examples, 1);
}

TEST_F(ServableTest, CutsARequestLargerThanAPass) {
  const auto servable = load({.max_batch_size = 4});
  const Answer answer = ask(*servable, examples(0, 11), 11).get();
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_EQ(answer->classes.size(), 11);
  for (int i = 0; i < 11; ++i) {
    const auto at = answer->probabilities.begin() + i * kClasses;
    EXPECT_EQ(std::vector<float>(at, at + kClasses), expected(i)) << i;
  }
}

TEST_F(ServableTest, ManyAtOnceGetTheirOwnAnswersInSharedPasses) {
  const auto servable = load({.max_batch_size = 16});
  std::vector<std::future<Answer>> answers;
  // The callback of the first holds the worker up until all others are in the queue.
  std::promise<void> all_queued;
  servable->predict({example(0), 1, std::chrono::steady_clock::time_point::max(),
                     [released = all_queued.get_future().share()](const Answer&) { released.wait(); }});
  for (int i = 0; i < 40; ++i) answers.push_back(ask(*servable, examples(i, 1 + i % 3), 1 + i % 3));
  all_queued.set_value();
  int64_t largest = 0;
  for (int i = 0; i < 40; ++i) {
    const Answer answer = answers[static_cast<size_t>(i)].get();
    ASSERT_TRUE(answer.ok()) << answer.status();
    ASSERT_EQ(answer->classes.size(), 1 + i % 3);
    const auto last = answer->probabilities.end() - kClasses;
    EXPECT_EQ(std::vector<float>(last, answer->probabilities.end()), expected(i + i % 3)) << i;
    largest = std::max(largest, answer->times.batch_examples);
  }
  EXPECT_GT(largest, 1);
  EXPECT_LE(largest, 16);
}

TEST_F(ServableTest, LargeRequestLetsOthersInBetweenItsPasses) {
  const auto servable = load({.max_batch_size = 4});
  std::promise<void> all_queued;
  servable->predict({example(0), 1, std::chrono::steady_clock::time_point::max(),
                     [released = all_queued.get_future().share()](const Answer&) { released.wait(); }});
  std::promise<bool> large_done;
  std::atomic<bool> is_lone_done{false};
  servable->predict({examples(0, 101), 101, std::chrono::steady_clock::time_point::max(), [&](const Answer& answer) {
                       EXPECT_TRUE(answer.ok());
                       large_done.set_value(is_lone_done);
                     }});
  auto other_large = ask(*servable, examples(50, 42), 42);
  servable->predict({example(1), 1, std::chrono::steady_clock::time_point::max(),
                     [&](const Answer& answer) { is_lone_done = answer.ok(); }});
  all_queued.set_value();
  EXPECT_TRUE(large_done.get_future().get()) << "the lone request waited for all of the large one";
  const Answer answer = other_large.get();
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_EQ(answer->classes.size(), 42);
  for (int i = 0; i < 42; ++i) {
    const auto at = answer->probabilities.begin() + i * kClasses;
    EXPECT_EQ(std::vector<float>(at, at + kClasses), expected(50 + i)) << i;
  }
}

TEST_F(ServableTest, TurnsAwayWhatTheQueueCannotHold) {
  const auto servable = load({.max_batch_size = 2, .max_queue_examples = 3});
  std::promise<void> release, begun;
  servable->predict({example(0), 1, std::chrono::steady_clock::time_point::max(),
                     [&begun, released = release.get_future().share()](const Answer&) {
                       begun.set_value();
                       released.wait();
                     }});
  begun.get_future().wait();
  auto first = ask(*servable, examples(0, 3), 3);
  const Answer refused = ask(*servable, example(0), 1).get();
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refused.status().message()), testing::HasSubstr("at most 3 examples"));
  EXPECT_EQ(servable->running(), 2);
  release.set_value();
  EXPECT_TRUE(first.get().ok());
}

TEST_F(ServableTest, TakesARequestLargerThanTheQueueWhenItIsAlone) {
  const auto servable = load({.max_batch_size = 2, .max_queue_examples = 3});
  EXPECT_TRUE(ask(*servable, examples(0, 9), 9).get().ok());
}

TEST_F(ServableTest, DoesNotBeginAfterTheDeadline) {
  const auto servable = load();
  const Answer answer = ask(*servable, example(0), 1, std::chrono::steady_clock::now() - milliseconds(1)).get();
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(ask(*servable, example(0), 1).get().ok());
}

TEST_F(ServableTest, RefusesSizesThatDisagree) {
  const auto servable = load();
  for (const int64_t count : {int64_t{0}, int64_t{-1}, int64_t{2}}) {
    EXPECT_EQ(ask(*servable, example(0), count).get().status().code(), absl::StatusCode::kInvalidArgument) << count;
  }
}

TEST_F(ServableTest, AnswersWhatItWasGivenBeforeItGoes) {
  auto servable = load();
  std::vector<std::future<Answer>> answers;
  for (int i = 0; i < 50; ++i) answers.push_back(ask(*servable, example(i), 1));
  servable.reset();
  for (auto& answer : answers) EXPECT_TRUE(answer.get().ok());
}

TEST_F(ServableTest, LastReferenceMayGoWithACallback) {
  auto servable = load();
  std::promise<void> done;
  Servable& last = *servable;
  last.predict({example(0), 1, std::chrono::steady_clock::time_point::max(),
                [held = std::move(servable), &done](const Answer& answer) mutable {
                  EXPECT_TRUE(answer.ok());
                  held.reset();
                  done.set_value();
                }});
  EXPECT_EQ(done.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
}

TEST_F(ServableTest, SaysWhyItCannotLoad) {
  const auto servable = Servable::load({"tiny", 1, ""}, directory_.path() + "/missing", {});
  ASSERT_FALSE(servable.ok());
  EXPECT_THAT(std::string(servable.status().message()), testing::HasSubstr("missing"));
}

}  // namespace
}  // namespace lockstep
