// SPDX-License-Identifier: Apache-2.0
#include "io/saved_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "io/proto/saved_model.pb.h"
#include "io/protobuf_bytes.h"
#include "tests/support/damage.h"
#include "tests/support/fault_file.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr int64_t kNow = 1527592999;
const std::vector<float> kBias = {1.5f, -2, 0.25f};

proto::SavedModel model_with_tags(const std::vector<std::string>& tags) {
  proto::SavedModel model;
  model.set_saved_model_schema_version(1);
  auto* graph = model.add_meta_graphs();
  for (const std::string& tag : tags) graph->mutable_meta_info_def()->add_tags(tag);
  auto* node = graph->mutable_graph_def()->add_node();
  node->set_name("Placeholder");
  node->set_op("Placeholder");
  (*node->mutable_attr())["dtype"].set_type(proto::DT_FLOAT);
  (*node->mutable_attr())["shape"].mutable_shape()->add_dim()->set_size(-1);
  return model;
}

std::vector<BundleTensor> variables() { return {{"conv2d/bias", TensorDtype::kFloat32, {3}, bytes_of(kBias)}}; }

class SavedModelTest : public testing::Test {
 protected:
  absl::StatusOr<std::string> write(int64_t keep = 0, int64_t now_s = kNow) {
    return write_saved_model(base_, model_, variables(), {.exports_to_keep = keep, .now_s = [=] { return now_s; }});
  }
  std::vector<std::string> names() const { return list_directory(base_).value(); }
  std::string file(const std::string& name) const { return join_path(base_, name); }

  TmpDir dir_;
  const std::string base_ = dir_.file("export/Servo");
  const proto::SavedModel model_ = model_with_tags({"serve"});
};

TEST_F(SavedModelTest, WritesTheTreeThatTensorFlowReads) {
  const auto written = write();
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(*written, file("1527592999"));
  EXPECT_THAT(names(), ElementsAre("1527592999"));
  EXPECT_THAT(list_directory(*written).value(), ElementsAre("saved_model.pb", "variables"));
  EXPECT_THAT(list_directory(*written + "/variables").value(),
              ElementsAre("variables.data-00000-of-00001", "variables.index"));
  EXPECT_EQ(slurp(*written + "/variables/variables.data-00000-of-00001").size(), 12u);
}

TEST_F(SavedModelTest, VersionsThatGoAreTold) {
  std::vector<std::string> removed;
  SavedModelWriteOptions options{.exports_to_keep = 2, .now_s = [] { return kNow; }};
  options.on_removed = [&](const std::string& path) {
    EXPECT_FALSE(file_exists(path));
    removed.push_back(path);
  };
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(write_saved_model(base_, model_, variables(), options).ok());
  EXPECT_THAT(removed, ElementsAre(file(std::to_string(kNow)), file(std::to_string(kNow + 1))));
}

TEST_F(SavedModelTest, ModelWithoutVariablesHasNoSuchDirectory) {
  const auto written = write_saved_model(base_, model_, {}, {});
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_THAT(list_directory(*written).value(), ElementsAre("saved_model.pb"));
  const auto read = read_saved_model(*written);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->variables, nullptr);
}

TEST_F(SavedModelTest, SameModelGivesTheSameBytes) {
  proto::SavedModel model = model_;
  for (int i = 0; i < 50; ++i) (*model.mutable_meta_graphs(0)->mutable_signature_def())[fmt::format("s{}", i)];
  const proto::SavedModel copy = model;  // its maps have another history
  ASSERT_TRUE(write_saved_model(base_, model, {}, {.exports_to_keep = 0}).ok());
  ASSERT_TRUE(write_saved_model(base_, copy, {}, {.exports_to_keep = 0}).ok());
  ASSERT_EQ(names().size(), 2u);
  EXPECT_EQ(slurp(file(names()[0]) + "/saved_model.pb"), slurp(file(names()[1]) + "/saved_model.pb"));
}

TEST_F(SavedModelTest, ReadsWhatItWrote) {
  ASSERT_TRUE(write().ok());
  for (const std::string& path :
       {file("1527592999"), file("1527592999/saved_model.pb"), base_, dir_.file("export"), base_ + "/"}) {
    const auto read = read_saved_model(path);
    ASSERT_TRUE(read.ok()) << path << ": " << read.status();
    EXPECT_EQ(*protobuf_bytes(*read->meta_graph), *protobuf_bytes(model_.meta_graphs(0)));
    std::vector<float> bias(3);
    ASSERT_TRUE(read->variables->read("conv2d/bias", bias).ok());
    EXPECT_EQ(bias, kBias);
  }
}

TEST_F(SavedModelTest, VersionTakenGivesTheNextSecond) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(write().ok());
  EXPECT_THAT(names(), ElementsAre("1527592999", "1527593000", "1527593001"));
}

TEST_F(SavedModelTest, ClockThatWentBackStillGivesTheNewestVersion) {
  ASSERT_TRUE(write().ok());
  const auto written = write(1, kNow - 1000);
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(*written, file("1527593000"));
  EXPECT_THAT(names(), ElementsAre("1527593000"));
}

TEST_F(SavedModelTest, VersionThatAnotherWriterPreparesIsNotTouched) {
  ASSERT_TRUE(make_directories(file("temp-1527592999")).ok());
  spill(file("temp-1527592999/saved_model.pb"), "theirs");
  const auto written = write(1);
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(*written, file("1527593000"));
  EXPECT_EQ(slurp(file("temp-1527592999/saved_model.pb")), "theirs");
}

TEST_F(SavedModelTest, KeepsTheNewestAndTouchesNothingElse) {
  for (const char* name : {"5", "0012", "1000", "best", "12.old", "-3", "temp-7"}) {
    ASSERT_TRUE(make_directories(file(name)).ok());
    spill(file(name) + "/saved_model.pb", "x");
  }
  spill(file("77"), "a file");
  ASSERT_TRUE(make_directories(file("78/logs")).ok());  // numbered, but no model
  ASSERT_TRUE(write(2).ok());
  EXPECT_THAT(names(), UnorderedElementsAre("1000", "1527592999", "best", "12.old", "-3", "temp-7", "77", "78"));
  ASSERT_TRUE(write(0).ok());
  EXPECT_EQ(names().size(), 9u);
}

// What a file of the export may suffer, one after another: nothing is left behind, older versions stay.
TEST_F(SavedModelTest, FailedWriteLeavesTheOldVersionsAlone) {
  ASSERT_TRUE(write(1).ok());
  std::vector<std::unique_ptr<FileHooks>> faults;
  faults.push_back(std::make_unique<NoSpaceAfter>(0));
  faults.push_back(std::make_unique<NoSpaceAfter>(20));
  faults.push_back(std::make_unique<NoSpaceAfter>(200));
  for (const FileOp op : {FileOp::kCreate, FileOp::kSync, FileOp::kClose}) {
    for (const char* name : {"variables.data", "variables.index", "saved_model.pb"}) {
      faults.push_back(std::make_unique<FailOn>(op, name));
    }
  }
  faults.push_back(std::make_unique<FailOn>(FileOp::kCreate, "temp-"));
  faults.push_back(std::make_unique<FailOn>(FileOp::kRename, "1527593000"));
  for (const auto& fault : faults) {
    const ScopedFileHooks hooks(fault.get());
    const auto written = write(1);
    EXPECT_FALSE(written.ok());
    EXPECT_THAT(std::string(written.status().message()), HasSubstr(base_));
    EXPECT_THAT(names(), ElementsAre("1527592999"));
  }
  EXPECT_TRUE(read_saved_model(base_).ok());
}

TEST_F(SavedModelTest, KilledWriterLeavesOldOrNewVersionWhole) {
  ASSERT_TRUE(write(1).ok());
  bool finished = false;
  for (int at = 0; !finished; ++at) {
    CrashAt crash(at);
    {
      const ScopedFileHooks hooks(&crash);
      finished = write(1, kNow + 1 + at).ok();
    }
    ASSERT_TRUE(read_saved_model(base_).ok()) << at;
  }
  EXPECT_GT(read_saved_model(base_)->directory, file("1527592999"));
  // Of all these writers nothing is left but a directory that one had not begun to fill, and the newest version.
  for (const std::string& name : names()) {
    if (name.starts_with("temp-")) {
      EXPECT_THAT(list_directory(file(name)).value(), IsEmpty()) << name;
    } else {
      EXPECT_EQ(file(name), read_saved_model(base_)->directory);
      EXPECT_THAT(list_directory(file(name)).value(), ElementsAre("saved_model.pb", "variables"));
    }
  }
}

TEST_F(SavedModelTest, LeftoverOfAKilledWriterGoesWithTheNextExport) {
  ASSERT_TRUE(make_directories(file("temp-1527592000/variables")).ok());
  spill(file("temp-1527592000/.lockstep_unfinished"), "");
  spill(file("temp-1527592000/variables/variables.data-00000-of-00001.tmp.77"), "half of it");
  ASSERT_TRUE(write(1).ok());
  EXPECT_THAT(names(), ElementsAre("1527592999"));
}

TEST_F(SavedModelTest, LiveWritersAndOthersTemporaryDirectoriesStay) {
  for (const char* name : {"temp-1", "temp-2", "temp-3"}) {
    ASSERT_TRUE(make_directories(file(name)).ok());
    spill(file(name) + "/saved_model.pb", "x");
  }
  spill(file("temp-1/.lockstep_unfinished"), "");
  spill(file("temp-2/.lockstep_unfinished"), "");
  std::filesystem::create_symlink(file("temp-2"), file("temp-4"));
  {
    const auto living = DirectoryLock::acquire(file("temp-1"));
    ASSERT_TRUE(living.ok() && living->holds());
    ASSERT_TRUE(write(1).ok());
    EXPECT_THAT(names(), UnorderedElementsAre("1527592999", "temp-1", "temp-3", "temp-4"));
  }
  ASSERT_TRUE(write(1).ok());
  EXPECT_THAT(names(), UnorderedElementsAre("1527593000", "temp-3", "temp-4"));
}

TEST_F(SavedModelTest, OldVersionThatIsALinkGoesWithoutItsTarget) {
  ASSERT_TRUE(make_directories(dir_.file("elsewhere")).ok());
  spill(dir_.file("elsewhere/saved_model.pb"), "theirs");
  ASSERT_TRUE(make_directories(base_).ok());
  std::filesystem::create_directory_symlink(dir_.file("elsewhere"), file("5"));
  ASSERT_TRUE(write(1).ok());
  EXPECT_THAT(names(), ElementsAre("1527592999"));
  EXPECT_THAT(list_directory(dir_.file("elsewhere")).value(), ElementsAre("saved_model.pb"));
}

TEST_F(SavedModelTest, UnremovableOldVersionIsReportedAndTheExportIsThere) {
  ASSERT_TRUE(write(1).ok());
  FailOn fault(FileOp::kRemove, "temp-1527592999");
  const ScopedFileHooks hooks(&fault);
  const auto written = write(1, kNow + 5);
  ASSERT_FALSE(written.ok());
  EXPECT_THAT(std::string(written.status().message()),
              HasSubstr(file("1527593004") + " is written, but older versions could not be removed"));
  EXPECT_EQ(read_saved_model(base_)->directory, file("1527593004"));
}

TEST_F(SavedModelTest, BaseThatIsAFileIsAnError) {
  spill(dir_.file("export"), "a file");
  const auto written = write();
  ASSERT_FALSE(written.ok());
  EXPECT_THAT(std::string(written.status().message()), HasSubstr(base_));
}

TEST_F(SavedModelTest, NewestVersionIsByNumberAndNeedsAModel) {
  for (const char* name : {"9", "0010", "8"}) {
    ASSERT_TRUE(make_directories(file(name)).ok());
    spill(file(name) + "/saved_model.pb", model_.SerializeAsString());
  }
  ASSERT_TRUE(make_directories(file("11")).ok());  // being copied: no model yet
  EXPECT_EQ(saved_model_directory(base_).value(), file("0010"));
}

TEST_F(SavedModelTest, OtherPathsShowTheTreeExpected) {
  const auto message = [](const std::string& path) {
    return std::string(saved_model_directory(path).status().message());
  };
  EXPECT_THAT(message(base_), HasSubstr("no such file or directory"));
  ASSERT_TRUE(make_directories(file("v1")).ok());
  EXPECT_THAT(message(base_), HasSubstr(base_ + "/1527592999/saved_model.pb"));
  spill(file("saved_model.pbtxt"), "");
  EXPECT_THAT(message(base_), HasSubstr("saved_model.pbtxt, which is text"));
  EXPECT_THAT(message(file("saved_model.pbtxt")), HasSubstr("a file of another name"));
  for (const char* name : {"a/1", "b/2"}) {
    ASSERT_TRUE(make_directories(dir_.file(name)).ok());
    spill(dir_.file(name) + "/saved_model.pb", "x");
  }
  EXPECT_THAT(message(dir_.path()), HasSubstr("several directories of versions, a, b"));
}

TEST_F(SavedModelTest, DamagedFilesAreErrors) {
  ASSERT_TRUE(write().ok());
  const std::string path = file("1527592999/saved_model.pb");
  const std::string good = slurp(path);
  const auto check = [&](const std::string& bytes, size_t) {
    spill(path, bytes);
    const auto read = read_saved_model(base_);
    // A protobuf has no checksum: some damage gives another model. It must not crash, and errors name the file.
    if (!read.ok()) {
      EXPECT_THAT(std::string(read.status().message()), HasSubstr(path));
    }
  };
  for_each_cut(good, check);
  for_each_bit_flip(good, check);
  spill(path, "");
  EXPECT_TRUE(absl::IsDataLoss(read_saved_model(base_).status()));
  spill(path, good + "trailing");
  EXPECT_TRUE(absl::IsDataLoss(read_saved_model(base_).status()));
  spill(path, std::string("\x12\xff\xff\xff\xff\x07", 6));  // a meta graph of 2 GiB
  EXPECT_TRUE(absl::IsDataLoss(read_saved_model(base_).status()));
}

TEST_F(SavedModelTest, DamagedVariablesAreErrors) {
  ASSERT_TRUE(write().ok());
  const std::string path = file("1527592999/variables/variables.index");
  spill(path, slurp(path).substr(0, 60));
  EXPECT_TRUE(absl::IsDataLoss(read_saved_model(base_).status()));
}

TEST_F(SavedModelTest, GraphWithOtherTagsIsNotServed) {
  for (const auto& [tags, found] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"train"}, "found {train}"}, {{"serve", "gpu"}, "found {serve, gpu}"}, {{}, "found {}"}}) {
    const auto written = write_saved_model(base_, model_with_tags(tags), {}, {});
    ASSERT_TRUE(written.ok()) << written.status();
    EXPECT_THAT(std::string(read_saved_model(*written).status().message()), HasSubstr(found));
  }
  proto::SavedModel model = model_;
  model.set_saved_model_schema_version(2);
  const auto written = write_saved_model(base_, model, {}, {});
  EXPECT_THAT(std::string(read_saved_model(*written).status().message()), HasSubstr("schema version 2, expected 1"));
}

}  // namespace
}  // namespace lockstep
