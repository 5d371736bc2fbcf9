// SPDX-License-Identifier: Apache-2.0
#include "serve/models/directory_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "core/base/file.h"
#include "tests/serve/model_fixture.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class NewestVersionTest : public testing::Test {
 protected:
  void make(const std::string& path) {
    const std::string directory = root_ + "/" + path;
    ASSERT_TRUE(make_directories(directory).ok());
    ASSERT_TRUE(write_file_atomic(directory + "/saved_model.pb", "x").ok());
  }
  WantedVersion newest(const std::string& path = "") {
    const auto version = newest_version(path.empty() ? root_ : root_ + "/" + path);
    EXPECT_TRUE(version.ok()) << version.status();
    return version.ok() ? *version : WantedVersion();
  }

  const TmpDir directory_;
  const std::string root_ = directory_.path();
};

TEST_F(NewestVersionTest, TakesTheHighestNumber) {
  make("2");
  make("10");
  make("009");
  make("temp-11");
  make("12x");
  EXPECT_EQ(newest().version, 10);
  EXPECT_EQ(newest().path, root_ + "/10");
}

TEST_F(NewestVersionTest, PassesOverADirectoryThatIsStillEmpty) {
  make("2");
  ASSERT_TRUE(make_directories(root_ + "/3").ok());
  EXPECT_EQ(newest().version, 2);
}

TEST_F(NewestVersionTest, FindsTheExportOfARun) {
  make("run/export/Servo/1543470000");
  for (const std::string path : {"run", "run/", "run/export", "run/export/Servo", "run/export/Servo//"}) {
    EXPECT_EQ(newest(path).version, 1543470000) << path;
    EXPECT_EQ(newest(path).path, root_ + "/run/export/Servo/1543470000") << path;
  }
}

TEST_F(NewestVersionTest, TakesOneVersion) {
  make("run/export/Servo/77");
  make("mine");
  EXPECT_EQ(newest("run/export/Servo/77").version, 77);
  EXPECT_EQ(newest("mine").version, 1);
  ASSERT_TRUE(write_file_atomic(root_ + "/model.onnx", "x").ok());
  EXPECT_EQ(newest("model.onnx").path, root_ + "/model.onnx");
}

TEST_F(NewestVersionTest, TakesARunThatWasNotExported) {
  write_run(root_ + "/run");
  EXPECT_EQ(newest("run").path, root_ + "/run");
}

TEST_F(NewestVersionTest, SaysWhatItExpectedAndFound) {
  const auto missing = newest_version(root_ + "/none").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("it does not exist"));
  EXPECT_THAT(std::string(missing.message()), HasSubstr(root_ + "/none/<number>/saved_model.pb"));
  EXPECT_THAT(std::string(newest_version(root_).status().message()), HasSubstr("it is empty"));
  ASSERT_TRUE(write_file_atomic(root_ + "/readme", "x").ok());
  EXPECT_THAT(std::string(newest_version(root_).status().message()), HasSubstr("it holds readme"));
}

TEST(DirectorySource, OffersANewVersionWhenItAppears) {
  const TmpDir directory;
  ASSERT_TRUE(make_directories(directory.path() + "/1").ok());
  write_run(directory.path() + "/1");
  ModelStore store({});
  const auto source = make_directory_source({"tiny", directory.path(), milliseconds(10)});
  ASSERT_TRUE(source->start(store).ok());
  const auto serves = [&](int64_t version) {
    for (int i = 0; i < 3000; ++i) {
      const auto servable = store.find({"tiny", std::nullopt, ""});
      if (servable.ok() && (*servable)->id().version == version) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  };
  EXPECT_TRUE(serves(1));
  write_run(directory.path() + "/temp");
  ASSERT_TRUE(rename_path(directory.path() + "/temp", directory.path() + "/2").ok());
  EXPECT_TRUE(serves(2));
  // What is served stays when its files go.
  ASSERT_TRUE(remove_tree(directory.path() + "/1").ok());
  ASSERT_TRUE(remove_tree(directory.path() + "/2").ok());
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_TRUE(serves(2));
}

TEST(DirectorySource, OffersAnOlderVersionWhileTheNewestDoesNotLoad) {
  const TmpDir directory;
  write_run(directory.path() + "/1");
  write_run(directory.path() + "/2");
  for (const std::string broken : {"/3", "/4"}) {
    ASSERT_TRUE(make_directories(directory.path() + broken).ok());
    ASSERT_TRUE(write_file_atomic(directory.path() + broken + "/saved_model.pb", "no model").ok());
  }
  ModelStore store({});
  const auto source = make_directory_source({"tiny", directory.path(), milliseconds(10)});
  ASSERT_TRUE(source->start(store).ok());
  const auto serving = [&] {
    const auto servable = store.find({"tiny", std::nullopt, ""});
    return servable.ok() ? (*servable)->id().version : 0;
  };
  for (int i = 0; i < 3000 && serving() == 0; ++i) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_EQ(serving(), 2);
  // The newest is mended: it takes over, and the others are not wanted any more.
  ASSERT_TRUE(remove_file(directory.path() + "/4/saved_model.pb").ok());
  write_run(directory.path() + "/4");
  const auto is_alone = [&] {
    const auto all = store.status({"tiny", std::nullopt, ""});
    return serving() == 4 && all.ok() && all->size() == 1;
  };
  for (int i = 0; i < 3000 && !is_alone(); ++i) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_TRUE(is_alone());
}

TEST(DirectorySource, WaitsForTheFirstVersionButNotForAMissingPath) {
  const TmpDir directory;
  ModelStore store({});
  EXPECT_FALSE(make_directory_source({"tiny", directory.path() + "/none", milliseconds(10)})->start(store).ok());
  const auto source = make_directory_source({"tiny", directory.path(), milliseconds(10)});
  ASSERT_TRUE(source->start(store).ok());
  EXPECT_FALSE(store.ready());
  write_run(directory.path() + "/temp");
  ASSERT_TRUE(rename_path(directory.path() + "/temp", directory.path() + "/5").ok());
  for (int i = 0; i < 3000 && !store.ready(); ++i) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_TRUE(store.ready());
}

}  // namespace
}  // namespace lockstep
