// SPDX-License-Identifier: Apache-2.0
// Processes that are killed before each of their file operations, one after the other.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "tests/serve/registry/registry_fixture.h"
#include "tests/support/fault_file.h"

namespace lockstep {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class KillAt : public FileHooks {
 public:
  explicit KillAt(int at) : left_(at) {}
  absl::Status before(FileOp op, const std::string&, size_t*) override {
    if (op != FileOp::kOpen && left_-- == 0) raise(SIGKILL);
    return absl::OkStatus();
  }

 private:
  int left_;
};

class RegistryCrashTest : public RegistryFixture {
 protected:
  RegistryCrashTest() : exported_(write_export(directory_.file("out"))) {
    EXPECT_TRUE(open()->create_model(named("mnist")).ok());
  }

  // Whether a process that does `work` is killed before its operation `at`.
  bool is_killed(int at, const std::function<absl::Status(Registry&)>& work) const {
    const pid_t child = fork();
    if (child == 0) {
      KillAt kill_at(at);
      const auto registry = Registry::open(home_);
      set_file_hooks(&kill_at);
      _exit(registry.ok() && work(**registry).ok() ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
  }

  const std::string exported_;
};

TEST_F(RegistryCrashTest, RegistersAVersionWholeOrNotAtAll) {
  int killed = 0, registered = 0;
  while (is_killed(killed, [this](Registry& registry) {
    return registry.create_version(from("mnist", "v1", exported_)).status();
  })) {
    ++killed;
    const auto registry = open();
    const auto model = registry->model("mnist");
    ASSERT_TRUE(model.ok()) << model.status();
    for (const RegisteredVersion& version : model->versions) {
      ++registered;
      EXPECT_TRUE(verify_version_files(version.directory, version.files).ok()) << "killed at " << killed;
    }
    if (!model->versions.empty()) {
      ASSERT_TRUE(registry->delete_version("mnist", "v1").ok());
    }
    // The next change finds its way, and leaves nothing of the killed one.
    const auto next = registry->create_version(from("mnist", "next", exported_));
    ASSERT_TRUE(next.ok()) << "killed at " << killed << ": " << next.status();
    EXPECT_THAT(files_of("mnist"), ElementsAre(std::to_string(next->version.number)));
    ASSERT_TRUE(registry->delete_version("mnist", "next").ok());
  }
  EXPECT_GE(killed, 15);     // directories, files, fsyncs, renames
  EXPECT_GE(registered, 1);  // after the commit
  EXPECT_LT(registered, killed / 2);
}

TEST_F(RegistryCrashTest, CompletesADeletion) {
  int killed = 0, marked = 0;
  const auto registry = open();
  do {
    ASSERT_TRUE(registry->create_version(from("mnist", "v1", exported_)).ok());
    if (!is_killed(killed, [](Registry& each) { return each.delete_version("mnist", "v1"); })) break;
    ++killed;
    if (registry->model("mnist")->versions.empty()) {
      ++marked;
    } else {
      ASSERT_TRUE(registry->delete_version("mnist", "v1").ok());
    }
    // A change of something else completes it.
    ASSERT_TRUE(registry->create_version(from("mnist", "other", exported_)).ok());
    EXPECT_EQ(files_of("mnist").size(), 1);
    ASSERT_TRUE(registry->delete_version("mnist", "other").ok());
  } while (true);
  EXPECT_GE(marked, 1);
  ASSERT_TRUE(registry->delete_model("mnist").ok());
  EXPECT_THAT(*registry->models(), IsEmpty());
}

TEST_F(RegistryCrashTest, LeavesAloneWhatALivingProcessMakes) {
  int ready[2], go[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(go), 0);
  // Stops in the middle of its copy until it is told to go on.
  class Wait : public FileHooks {
   public:
    Wait(int tell, int hear) : tell_(tell), hear_(hear) {}
    absl::Status before(FileOp op, const std::string& path, size_t*) override {
      char byte = 0;
      const bool is_here = op == FileOp::kSync && path.ends_with("saved_model.pb");
      if (is_here && (write(tell_, "x", 1) != 1 || read(hear_, &byte, 1) != 1)) return absl::AbortedError("pipe");
      return absl::OkStatus();
    }

   private:
    const int tell_, hear_;
  } wait(ready[1], go[0]);
  const pid_t child = fork();
  if (child == 0) {
    const auto registry = Registry::open(home_);
    set_file_hooks(&wait);
    _exit(registry.ok() && (*registry)->create_version(from("mnist", "slow", exported_)).ok() ? 0 : 1);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_TRUE(open()->create_version(from("mnist", "fast", exported_)).ok());
  EXPECT_THAT(files_of("mnist"), Contains(StartsWith("temp-")));
  ASSERT_EQ(write(go[1], "x", 1), 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  const auto model = open()->model("mnist");
  ASSERT_EQ(model->versions.size(), 2);
  EXPECT_EQ(model->versions[1].name, "slow");
  EXPECT_EQ(model->model.default_version, "fast");
  EXPECT_THAT(files_of("mnist"), Not(Contains(StartsWith("temp-"))));
}

}  // namespace
}  // namespace lockstep
