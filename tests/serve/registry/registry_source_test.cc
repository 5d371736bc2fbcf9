// SPDX-License-Identifier: Apache-2.0
#include "serve/registry/registry_source.h"

#include <gmock/gmock.h>

#include <thread>

#include "tests/serve/registry/registry_fixture.h"
#include "tests/support/fault_file.h"
#include "tests/support/soon.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class RegistrySourceTest : public RegistryFixture {
 protected:
  void start() { ASSERT_TRUE(source_->start(store_).ok()); }
  void create(const std::string& name) {
    const auto made = registry_->create_version(from("mnist", name, exported_));
    ASSERT_TRUE(made.ok()) << made.status();
  }
  // The number of the version that answers; 0 for none.
  int64_t serving(const std::string& label = "") const {
    const auto servable = store_.find({"mnist", std::nullopt, label});
    return servable.ok() ? (*servable)->id().version : 0;
  }
  std::string why_not() const {
    const auto servable = store_.find({"mnist", std::nullopt, ""});
    return std::string(servable.status().message());
  }

  const std::unique_ptr<Registry> registry_ = open();
  const std::string exported_ = write_export(directory_.file("out"));
  ModelStore store_{{}};
  const std::unique_ptr<VersionSource> source_ = make_registry_source({home_, milliseconds(10)});
};

TEST_F(RegistrySourceTest, FollowsTheRegistry) {
  start();
  EXPECT_FALSE(store_.ready());
  ASSERT_TRUE(registry_->create_model(named("mnist")).ok());
  ASSERT_TRUE(soon([&] { return !store_.models().empty(); }));
  EXPECT_EQ(why_not(),
            "Servable not found for request: Latest(mnist): it has no version in the registry yet; `lockstep versions "
            "create v1 --model mnist --origin DIR` creates one");
  create("v1");
  ASSERT_TRUE(soon([&] { return serving() == 1; }));
  create("v2");
  ASSERT_TRUE(soon([&] { return serving("v2") == 2; }));
  EXPECT_EQ(serving(), 1);
  EXPECT_EQ(serving("v1"), 1);
  ASSERT_TRUE(registry_->set_default("mnist", "v2").ok());
  ASSERT_TRUE(soon([&] { return serving() == 2; }));
  ASSERT_TRUE(registry_->delete_version("mnist", "v1").ok());
  ASSERT_TRUE(soon([&] { return serving("v1") == 0; }));
  EXPECT_EQ(serving(), 2);
  // The same name, another version.
  create("v1");
  ASSERT_TRUE(soon([&] { return serving("v1") == 3; }));
  ASSERT_TRUE(registry_->delete_version("mnist", "v1").ok());
  ASSERT_TRUE(registry_->delete_version("mnist", "v2").ok());
  ASSERT_TRUE(soon([&] { return serving() == 0; }));
  ASSERT_TRUE(registry_->delete_model("mnist").ok());
  EXPECT_TRUE(soon([&] { return store_.models().empty(); }));
}

TEST_F(RegistrySourceTest, TakesTheDefaultOfTheRegistryNotTheNewest) {
  ASSERT_TRUE(registry_->create_model(named("mnist")).ok());
  for (const char* name : {"v1", "v2", "v3"}) create(name);
  start();
  ASSERT_TRUE(soon([&] {
    const int64_t now = serving();
    EXPECT_TRUE(now == 0 || now == 1) << now;
    return now == 1 && serving("v3") == 3;
  }));
  EXPECT_TRUE(store_.ready());
}

TEST_F(RegistrySourceTest, ServesNothingThatIsDamaged) {
  ASSERT_TRUE(registry_->create_model(named("mnist")).ok());
  create("v1");
  create("v2");
  const std::string path = home_ + "/models/mnist/1/variables/variables.index", bytes = slurp(path);
  spill(path, with_bit_flipped(bytes, 3, 1));
  start();
  ASSERT_TRUE(soon([&] { return serving("v2") == 2 && why_not().find("did not load") != std::string::npos; }));
  EXPECT_THAT(why_not(), AllOf(HasSubstr("version 1"), HasSubstr(path + ": damaged in the registry: SHA-256 is")));
  EXPECT_FALSE(store_.ready());
  const auto status = store_.status({"mnist", 1, ""});
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->at(0).state, VersionState::kEnd);
  EXPECT_EQ(status->at(0).status.code(), absl::StatusCode::kDataLoss);
  spill(path, bytes);
  EXPECT_TRUE(soon([&] { return serving() == 1; }));
}

TEST_F(RegistrySourceTest, KeepsWhatItServesWhenTheRegistryIsGone) {
  ASSERT_TRUE(registry_->create_model(named("mnist")).ok());
  create("v1");
  start();
  ASSERT_TRUE(soon([&] { return serving() == 1; }));
  ASSERT_TRUE(rename_path(home_, directory_.file("elsewhere")).ok());
  // Several looks later:
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(serving(), 1);
  EXPECT_FALSE(file_exists(home_));
  // Another registry takes its place.
  ASSERT_TRUE(open()->create_model(named("other")).ok());
  EXPECT_TRUE(soon([&] { return store_.models() == std::vector<std::string>{"other"}; }));
}

TEST(RegistrySource, DoesNotStartWithoutARegistryThatCanBeRead) {
  const TmpDir directory;
  spill(directory.file("registry.db"), std::string(4096, 'x'));
  ModelStore store({});
  const absl::Status status = make_registry_source({directory.path(), milliseconds(10)})->start(store);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
}

}  // namespace
}  // namespace lockstep
