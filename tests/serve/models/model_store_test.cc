// SPDX-License-Identifier: Apache-2.0
#include "serve/models/model_store.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <future>
#include <thread>

#include "core/base/file.h"
#include "tests/serve/model_fixture.h"
#include "tests/support/soon.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

// About 2.4 MB of weights, so that one that is kept shows.
constexpr char kLargeModel[] = R"(
image: {height: 28, width: 28}
classes: 10
layers:
  - dense: {units: 750, activation: relu}
  - dense: {units: 10}
)";

class ModelStoreTest : public testing::Test {
 protected:
  std::string version(int number, const std::string& yaml = kTinyModel) {
    const std::string path = fmt::format("{}/{}", directory_.path(), number);
    if (!is_directory(path)) write_run(path, yaml);
    return path;
  }
  WantedVersion wanted(int number) { return {number, fmt::format("v{}", number), version(number)}; }

  // The version that answers, 0 for none.
  static int64_t serving(const ModelStore& store, const ModelSelector& selector = {"m", std::nullopt, ""}) {
    const auto servable = store.find(selector);
    return servable.ok() ? (*servable)->id().version : 0;
  }
  static std::vector<VersionStatus> statuses(const ModelStore& store) {
    auto result = store.status({"m", std::nullopt, ""});
    return result.ok() ? *result : std::vector<VersionStatus>();
  }

  const TmpDir directory_;
};

TEST_F(ModelStoreTest, FindsByNumberLabelAndDefault) {
  ModelStore store({});
  EXPECT_FALSE(store.ready());
  store.set_wanted("test", {{"m", {wanted(1), wanted(2), wanted(3)}, 2}});
  ASSERT_TRUE(soon([&] { return serving(store, {"m", 1, ""}) == 1 && serving(store, {"m", 3, ""}) == 3; }));
  ASSERT_TRUE(soon([&] { return serving(store, {"m", 2, ""}) == 2; }));
  EXPECT_EQ(serving(store), 2);
  EXPECT_EQ(serving(store, {"m", std::nullopt, "v3"}), 3);
  EXPECT_TRUE(store.ready());
  EXPECT_THAT(store.models(), ElementsAre("m"));
  const auto all = statuses(store);
  ASSERT_EQ(all.size(), 3);
  EXPECT_EQ(all[0].version, 3);
  EXPECT_EQ(all[0].state, VersionState::kAvailable);
  EXPECT_FALSE(all[0].is_default);
  EXPECT_TRUE(all[1].is_default);
  EXPECT_EQ(all[1].label, "v2");
}

TEST_F(ModelStoreTest, NeverAnswersByAVersionThatNobodyChose) {
  ModelStore store({});
  const WantedVersion broken{.version = 1, .label = "v1", .path = "/none"};
  store.set_wanted("test", {{"m", {broken, wanted(2)}, 1}});
  ASSERT_TRUE(soon([&] { return serving(store, {"m", 2, ""}) == 2; }));
  ASSERT_TRUE(soon([&] { return store.status({"m", 1, ""})->at(0).state == VersionState::kEnd; }));
  const absl::Status why = store.find({"m", std::nullopt, ""}).status();
  EXPECT_TRUE(absl::IsUnavailable(why)) << why;
  EXPECT_THAT(std::string(why.message()), HasSubstr("version 1 did not load"));
  EXPECT_FALSE(store.ready());
}

TEST_F(ModelStoreTest, TheDefaultGoesOnUntilTheNextOneIsThere) {
  ModelStore store({});
  store.set_wanted("test", {{"m", {wanted(1), wanted(3)}, 1}});
  ASSERT_TRUE(soon([&] { return serving(store) == 1 && serving(store, {"m", 3, ""}) == 3; }));
  const WantedVersion broken{.version = 2, .label = "v2", .path = "/none"};
  store.set_wanted("test", {{"m", {wanted(1), broken, wanted(3)}, 2}});
  ASSERT_TRUE(soon([&] { return store.status({"m", 2, ""})->at(0).state == VersionState::kEnd; }));
  EXPECT_EQ(serving(store), 1);
  // As a new default that is created while the old one is deleted.
  store.set_wanted("test", {{"m", {wanted(3), wanted(4)}, 4}});
  ASSERT_TRUE(soon([&] {
    const int64_t now = serving(store);
    EXPECT_TRUE(now == 1 || now == 4) << now;
    return now == 4;
  }));
}

TEST_F(ModelStoreTest, ADeletedVersionDoesNotAnswerForABrokenOne) {
  ModelStore store({});
  const WantedVersion broken{.version = 3, .label = "v3", .path = "/none"};
  store.set_wanted("test", {{"m", {wanted(1), wanted(2)}, 1, "", true}});
  ASSERT_TRUE(soon([&] { return serving(store) == 1 && serving(store, {"m", 2, ""}) == 2; }));
  store.set_wanted("test", {{"m", {wanted(1), wanted(2), broken}, 3, "", true}});
  ASSERT_TRUE(soon([&] { return store.status({"m", 3, ""})->at(0).state == VersionState::kEnd; }));
  EXPECT_EQ(serving(store), 1);
  store.set_wanted("test", {{"m", {broken}, 3, "", true}});
  EXPECT_TRUE(absl::IsNotFound(store.find({"m", 1, ""}).status()));
  EXPECT_TRUE(absl::IsNotFound(store.find({"m", std::nullopt, "v2"}).status()));
  EXPECT_TRUE(absl::IsNotFound(store.status({"m", 1, ""}).status()));
  const absl::Status why = store.find({"m", std::nullopt, ""}).status();
  EXPECT_TRUE(absl::IsUnavailable(why)) << why;
  EXPECT_THAT(std::string(why.message()), HasSubstr("version 3 did not load"));
  EXPECT_TRUE(soon([&] { return statuses(store).size() == 1; }));
}

TEST_F(ModelStoreTest, ADeletedDefaultStandsInWhileTheNewOneIsOnItsWay) {
  std::promise<void> release;
  WantedVersion held = wanted(2), broken{.version = 3, .label = "v3", .path = "/none"};
  held.verify = [released = release.get_future().share()] {
    released.wait();
    return absl::OkStatus();
  };
  ModelStore store({});
  store.set_wanted("test", {{"m", {wanted(1)}, 1, "", true}});
  ASSERT_TRUE(soon([&] { return serving(store) == 1; }));
  store.set_wanted("test", {{"m", {held}, 2, "", true}});
  EXPECT_TRUE(absl::IsNotFound(store.find({"m", 1, ""}).status()));
  EXPECT_TRUE(absl::IsNotFound(store.find({"m", std::nullopt, "v1"}).status()));
  EXPECT_EQ(serving(store), 1);
  release.set_value();
  ASSERT_TRUE(soon([&] {
    EXPECT_NE(serving(store), 0);
    return serving(store) == 2;
  }));
  EXPECT_TRUE(soon([&] { return statuses(store).size() == 1; }));
  store.set_wanted("test", {{"m", {broken}, 3, "", true}});
  EXPECT_TRUE(soon([&] { return serving(store) == 0; }));
  EXPECT_TRUE(absl::IsUnavailable(store.find({"m", std::nullopt, ""}).status()));
}

TEST_F(ModelStoreTest, LoadsNothingThatIsNotVerified) {
  std::atomic<bool> is_sound = false;
  WantedVersion checked = wanted(1);
  checked.verify = [&] { return is_sound ? absl::OkStatus() : absl::DataLossError("not as it was"); };
  StoreOptions options;
  options.load_retry_interval = milliseconds(20);
  ModelStore store(options);
  store.set_wanted("test", {{"m", {checked}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return !statuses(store).empty() && !statuses(store)[0].status.ok(); }));
  EXPECT_EQ(statuses(store)[0].status, absl::DataLossError("not as it was"));
  EXPECT_EQ(serving(store), 0);
  is_sound = true;
  EXPECT_TRUE(soon([&] { return serving(store) == 1; }));
}

TEST_F(ModelStoreTest, TellsWhatItsSourceSaysOfAModelWithoutVersions) {
  ModelStore store({});
  store.set_wanted("test", {{"m", {}, std::nullopt, "make one"}});
  EXPECT_EQ(store.find({"m", std::nullopt, ""}).status(),
            absl::NotFoundError("Servable not found for request: Latest(m): make one"));
  EXPECT_EQ(store.status({"m", std::nullopt, ""}).status(),
            absl::NotFoundError("Could not find any versions of model m: make one"));
  EXPECT_FALSE(store.ready());
  store.set_wanted("test", {{"m", {wanted(1)}, std::nullopt, "make one"}});
  ASSERT_TRUE(soon([&] { return serving(store) == 1; }));
  EXPECT_EQ(store.find({"m", 7, ""}).status(),
            absl::NotFoundError("Servable not found for request: Specific(m, 7). Versions here: 1 (v1)"));
}

TEST_F(ModelStoreTest, SaysWhatIsNotThere) {
  ModelStore store({});
  EXPECT_EQ(store.find({"m", std::nullopt, ""}).status(),
            absl::NotFoundError("Servable not found for request: Latest(m)"));
  EXPECT_EQ(store.find({"m", 7, ""}).status(), absl::NotFoundError("Servable not found for request: Specific(m, 7)"));
  EXPECT_EQ(store.status({"m", std::nullopt, ""}).status(),
            absl::NotFoundError("Could not find any versions of model m"));
}

TEST_F(ModelStoreTest, TakesOverAndLetsTheOldVersionGo) {
  ModelStore store({});
  store.set_wanted("test", {{"m", {wanted(1)}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return serving(store) == 1; }));
  store.set_wanted("test", {{"m", {wanted(2)}, std::nullopt}});
  // There is never a moment without a version.
  ASSERT_TRUE(soon([&] {
    EXPECT_NE(serving(store), 0);
    return serving(store) == 2;
  }));
  EXPECT_TRUE(soon([&] { return statuses(store).size() == 1; }));
  EXPECT_EQ(serving(store, {"m", 1, ""}), 0);
}

TEST_F(ModelStoreTest, OldVersionAnswersWhatRunsOnIt) {
  ModelStore store({});
  store.set_wanted("test", {{"m", {wanted(1)}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return serving(store) == 1; }));
  auto old = store.find({"m", std::nullopt, ""}).value();
  std::promise<void> release;
  std::atomic<bool> is_answered{false};
  old->predict({std::vector<float>(12), 1, std::chrono::steady_clock::time_point::max(),
                [&, released = release.get_future().share()](const absl::StatusOr<PredictAnswer>& answer) {
                  released.wait();
                  is_answered = answer.ok();
                }});
  old.reset();
  store.set_wanted("test", {{"m", {wanted(2)}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return serving(store) == 2; }));
  ASSERT_TRUE(
      soon([&] { return statuses(store).size() == 2 && statuses(store)[1].state == VersionState::kUnloading; }));
  EXPECT_FALSE(is_answered);
  release.set_value();
  EXPECT_TRUE(soon([&] { return is_answered.load(); }));
  EXPECT_TRUE(soon([&] { return statuses(store).size() == 1; }));
}

TEST_F(ModelStoreTest, BrokenVersionNeverGoesLiveUntilItIsMended) {
  ModelStore store({});
  store.set_wanted("test", {{"m", {wanted(1)}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return serving(store) == 1; }));
  const std::string broken = directory_.path() + "/2";
  ASSERT_TRUE(make_directories(broken).ok());
  ASSERT_TRUE(write_file_atomic(broken + "/saved_model.pb", "no model").ok());
  store.set_wanted("test", {{"m", {{2, "", broken}}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return statuses(store).size() == 2 && !statuses(store)[0].status.ok(); }));
  EXPECT_EQ(statuses(store)[0].state, VersionState::kEnd);
  EXPECT_EQ(serving(store), 1);
  EXPECT_TRUE(store.ready());
  EXPECT_EQ(store.find({"m", 2, ""}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(store.find({"m", 2, ""}).status().message()), HasSubstr("did not load"));
  // The files are put right: tried again at once, though the interval is a minute.
  ASSERT_TRUE(remove_file(broken + "/saved_model.pb").ok());
  write_run(broken);
  EXPECT_TRUE(soon([&] { return serving(store) == 2; }));
}

TEST_F(ModelStoreTest, ReadyWhileAModelThatNobodyWantsDrains) {
  ModelStore store({});
  store.set_wanted("a", {{"m", {wanted(1)}, std::nullopt}});
  store.set_wanted("b", {{"n", {wanted(2)}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return store.ready(); }));
  auto held = store.find({"m", std::nullopt, ""}).value();  // a request is about to start
  store.set_wanted("a", {});
  ASSERT_TRUE(soon([&] { return serving(store) == 0; }));
  EXPECT_THAT(store.models(), ElementsAre("m", "n"));
  EXPECT_EQ(statuses(store)[0].state, VersionState::kUnloading);
  EXPECT_TRUE(store.ready());
  held.reset();
  EXPECT_TRUE(soon([&] { return store.models() == std::vector<std::string>{"n"}; }));
}

TEST_F(ModelStoreTest, ReadyBesideAModelWithoutVersions) {
  ModelStore store({});
  store.set_wanted("test", {{"empty", {}, std::nullopt}});
  EXPECT_FALSE(store.ready());
  store.set_wanted("test", {{"empty", {}, std::nullopt}, {"m", {wanted(1)}, std::nullopt}});
  EXPECT_TRUE(soon([&] { return store.ready(); }));
}

TEST_F(ModelStoreTest, StaysReadyWhileANewModelLoadsOrFails) {
  const auto model = [](const std::string& name, const WantedVersion& version) {
    return WantedModel{name, {version}, version.version, "", true};
  };
  std::promise<void> release;
  WantedVersion slow = wanted(2), broken{.version = 1, .label = "v1", .path = "/none"};
  slow.verify = [released = release.get_future().share()] {
    released.wait();
    return absl::OkStatus();
  };
  ModelStore store({});
  store.set_wanted("test", {model("m", wanted(1)), model("bad", broken)});
  ASSERT_TRUE(soon([&] { return serving(store) == 1 && !store.status({"bad", 1, ""})->at(0).status.ok(); }));
  EXPECT_FALSE(store.ready());  // has never been
  store.set_wanted("test", {model("m", wanted(1))});
  EXPECT_TRUE(store.ready());
  store.set_wanted("test", {model("m", wanted(1)), model("new", slow)});
  EXPECT_TRUE(store.ready());
  release.set_value();
  ASSERT_TRUE(soon([&] { return serving(store, {"new", std::nullopt, ""}) == 2; }));
  store.set_wanted("test", {model("m", wanted(1)), model("new", slow), model("bad", broken)});
  ASSERT_TRUE(soon([&] { return !store.status({"bad", 1, ""})->at(0).status.ok(); }));
  EXPECT_TRUE(store.ready());
  // One that has answered and does no longer is another matter.
  store.set_wanted("test", {model("m", wanted(1)), model("new", broken)});
  ASSERT_TRUE(soon([&] { return serving(store, {"new", std::nullopt, ""}) == 0; }));
  EXPECT_FALSE(store.ready());
}

TEST_F(ModelStoreTest, LastVersionOfAModelGoesWhenNoneIsWanted) {
  ModelStore store({});
  store.set_wanted("test", {{"m", {wanted(1)}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return serving(store) == 1; }));
  store.set_wanted("test", {{"m", {}, std::nullopt}});
  EXPECT_TRUE(soon([&] { return statuses(store).empty(); }));
  EXPECT_FALSE(store.ready());
}

TEST_F(ModelStoreTest, VersionThatIsGivenUpWhileItLoadsNeverAnswers) {
  ModelStore store({});
  store.set_wanted("test", {{"m", {wanted(1)}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return serving(store) == 1; }));
  const WantedVersion second = {2, "", version(2, kLargeModel)};
  store.set_wanted("test", {{"m", {second}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return statuses(store)[0].state != VersionState::kStart; }));
  store.set_wanted("test", {{"m", {wanted(1)}, std::nullopt}});
  if (serving(store) == 2) GTEST_SKIP() << "it was loaded before it was given up";
  ASSERT_TRUE(soon([&] {
    EXPECT_EQ(serving(store), 1);
    return statuses(store).size() == 1;
  }));
}

TEST_F(ModelStoreTest, NumberFromAnotherPathIsLoadedFromThere) {
  ModelStore store({});
  store.set_wanted("test", {{"m", {wanted(1)}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return serving(store) == 1; }));
  const auto path = [&] {
    const auto servable = store.find({"m", 1, ""});
    EXPECT_TRUE(servable.ok()) << servable.status();
    return servable.ok() ? (*servable)->path() : "";
  };
  // It does not load: the first goes on.
  store.set_wanted("test", {{"m", {{1, "", directory_.path() + "/none"}}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return !statuses(store)[0].status.ok(); }));
  EXPECT_EQ(path(), version(1));
  EXPECT_EQ(statuses(store)[0].state, VersionState::kAvailable);
  const std::string moved = version(2);
  store.set_wanted("test", {{"m", {{1, "", moved}}, std::nullopt}});
  EXPECT_TRUE(soon([&] { return path() == moved; }));
  EXPECT_TRUE(statuses(store)[0].status.ok());
}

TEST_F(ModelStoreTest, TriesAgainABoundedNumberOfTimes) {
  ModelStore store({.servable = {}, .max_load_retries = 2, .load_retry_interval = milliseconds(1)});
  const std::string path = directory_.path() + "/1";
  ASSERT_TRUE(make_directories(path).ok());
  store.set_wanted("test", {{"m", {{1, "", path}}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return !statuses(store).empty() && !statuses(store)[0].status.ok(); }));
  std::this_thread::sleep_for(milliseconds(600));
  EXPECT_FALSE(store.ready());
  EXPECT_EQ(statuses(store)[0].state, VersionState::kEnd);
}

TEST_F(ModelStoreTest, ModelThatNobodyWantsGoes) {
  ModelStore store({});
  store.set_wanted("a", {{"m", {wanted(1)}, std::nullopt}});
  store.set_wanted("b", {{"n", {wanted(2)}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return serving(store) == 1 && serving(store, {"n", std::nullopt, ""}) == 2; }));
  store.set_wanted("a", {});
  EXPECT_TRUE(soon([&] { return store.models() == std::vector<std::string>{"n"}; }));
  EXPECT_EQ(serving(store, {"n", std::nullopt, ""}), 2);
}

TEST_F(ModelStoreTest, DrainingIsBounded) {
  ModelStore store({});
  store.set_wanted("test", {{"m", {wanted(1)}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return store.ready(); }));
  std::promise<void> release;
  store.find({"m", std::nullopt, ""})
      .value()
      ->predict({std::vector<float>(12), 1, std::chrono::steady_clock::time_point::max(),
                 [released = release.get_future().share()](const absl::StatusOr<PredictAnswer>&) { released.wait(); }});
  EXPECT_FALSE(store.drain(milliseconds(20)));
  release.set_value();
  EXPECT_TRUE(store.drain(milliseconds(30000)));
}

TEST_F(ModelStoreTest, DrainingStoreIsNotReady) {
  ModelStore store({});
  store.set_wanted("test", {{"m", {wanted(1)}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return store.ready(); }));
  EXPECT_TRUE(store.drain(milliseconds(1000)));
  EXPECT_FALSE(store.ready());
  EXPECT_EQ(serving(store), 1);
}

TEST_F(ModelStoreTest, ChangesUnderLoadLoseNoRequest) {
  ModelStore store({});
  store.set_wanted("test", {{"m", {wanted(1)}, std::nullopt}});
  ASSERT_TRUE(soon([&] { return serving(store) == 1; }));
  std::atomic<bool> stop{false};
  std::atomic<int64_t> good{0}, bad{0};
  std::thread client([&] {
    while (!stop) {
      const auto servable = store.find({"m", std::nullopt, ""});
      std::promise<bool> done;
      if (!servable.ok()) {
        ++bad;
        continue;
      }
      (*servable)->predict({std::vector<float>(12), 1, std::chrono::steady_clock::time_point::max(),
                            [&](const absl::StatusOr<PredictAnswer>& answer) { done.set_value(answer.ok()); }});
      ++(done.get_future().get() ? good : bad);
    }
  });
  for (int i = 2; i <= 6; ++i) {
    store.set_wanted("test", {{"m", {wanted(i)}, std::nullopt}});
    EXPECT_TRUE(soon([&] { return serving(store) == i; }));
  }
  stop = true;
  client.join();
  EXPECT_GT(good, 0);
  EXPECT_EQ(bad, 0);
}

int64_t resident_kb() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word == "VmRSS:") {
      int64_t kb = 0;
      status >> kb;
      return kb;
    }
  }
  return 0;
}

TEST_F(ModelStoreTest, MemoryDoesNotGrowOverAHundredSwaps) {
#ifdef LOCKSTEP_SANITIZED
  GTEST_SKIP() << "sanitizers keep memory that was freed";
#endif
  const std::string first = version(1, kLargeModel), second = version(2, kLargeModel);
  ModelStore store({.servable = {.max_batch_size = 4}});
  int64_t settled = 0, last = 0;
  for (int i = 1; i <= 100; ++i) {
    store.set_wanted("test", {{"m", {{i, "", i % 2 == 0 ? first : second}}, std::nullopt}});
    ASSERT_TRUE(soon([&] { return serving(store) == i && statuses(store).size() == 1; })) << i;
    last = resident_kb();
    if (i == 20) settled = last;
  }
  // A version that stayed would be 2,400 KiB, eighty of them 190 MiB.
  EXPECT_LT(last, settled + 8 * 1024) << "settled at " << settled << " KiB";
}

}  // namespace
}  // namespace lockstep
