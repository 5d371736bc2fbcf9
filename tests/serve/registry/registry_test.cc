// SPDX-License-Identifier: Apache-2.0
#include "serve/registry/registry.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <thread>

#include "serve/registry/registry_home.h"
#include "serve/registry/sqlite_database.h"
#include "tests/serve/registry/registry_fixture.h"
#include "tests/support/fault_file.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string message(const absl::Status& status) { return std::string(status.message()); }

class RegistryTest : public RegistryFixture {
 protected:
  RegistryTest() { EXPECT_TRUE(registry_->create_model(named("mnist")).ok()); }
  absl::StatusOr<RegisteredVersion> create(const std::string& name, const std::string& origin) {
    auto made = registry_->create_version(from("mnist", name, origin));
    if (!made.ok()) return made.status();
    return made->version;
  }
  std::vector<RegisteredVersion> versions() { return registry_->model("mnist").value().versions; }
  std::vector<std::string> version_names() {
    std::vector<std::string> names;
    for (const auto& version : versions()) names.push_back(version.name);
    return names;
  }

  const std::unique_ptr<Registry> registry_ = open();
  const std::string exported_ = write_export(directory_.file("out"));
};

unsigned mode_of(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 0777;
}

TEST_F(RegistryTest, IsForItsOwnerAlone) { EXPECT_EQ(mode_of(home_), 0700U); }

TEST_F(RegistryTest, IsForItsOwnerAloneInADirectoryThatOthersMayRead) {
  const std::string home = directory_.file("shared");
  ASSERT_EQ(mkdir(home.c_str(), 0755), 0);
  const auto registry = Registry::open(home).value();
  ASSERT_TRUE(registry->create_model(named("mnist")).ok());
  ASSERT_TRUE(registry->create_version(from("mnist", "v1", exported_)).ok());
  EXPECT_EQ(mode_of(home), 0755U);
  EXPECT_EQ(mode_of(home + "/models"), 0700U);
  EXPECT_EQ(mode_of(registry_database(home)), 0600U);
  auto writer = SqliteDatabase::open(registry_database(home)).value();
  const auto change = writer.begin_write();
  ASSERT_TRUE(writer.run("UPDATE models SET description = 'new'").ok());
  EXPECT_EQ(mode_of(registry_database(home) + "-journal"), 0600U);
}

TEST_F(RegistryTest, CopiesAVersionWithItsChecksums) {
  spill(exported_ + "/fingerprint.pb", "TensorFlow's");
  spill(exported_ + "/notes.txt", "no part of the model");
  const auto made = create("v1", exported_);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->number, 1);
  EXPECT_TRUE(made->is_default);
  EXPECT_EQ(made->origin, exported_);
  EXPECT_EQ(made->directory, home_ + "/models/mnist/1");
  ASSERT_EQ(made->files.size(), 4);
  EXPECT_EQ(made->files[0].path, "saved_model.pb");
  EXPECT_THAT(*list_directory(made->directory), ElementsAre("fingerprint.pb", "saved_model.pb", "variables"));
  EXPECT_EQ(made->files[0].size_bytes, slurp(exported_ + "/saved_model.pb").size());
  EXPECT_EQ(slurp(made->directory + "/variables/variables.index"), slurp(exported_ + "/variables/variables.index"));
  EXPECT_TRUE(verify_version_files(made->directory, made->files).ok());
  EXPECT_THAT(files_of("mnist"), ElementsAre("1"));
  // The copy needs its origin no more, and another process sees the same.
  const auto weights = load_trained_model(exported_).value().weights;
  ASSERT_TRUE(remove_tree(exported_).ok());
  const auto seen = open()->version("mnist", "v1");
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->files.at(3).sha256, made->files.at(3).sha256);
  const auto copy = load_trained_model(seen->directory);
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_TRUE(std::equal(weights.data(), weights.data() + weights.size(), copy->weights.data()));
}

TEST_F(RegistryTest, TakesWhateverIsAModel) {
  write_run(directory_.file("run"));
  EXPECT_TRUE(create("saved_model_file", exported_ + "/saved_model.pb").ok());
  EXPECT_TRUE(create("root", directory_.file("out")).ok());
  ASSERT_TRUE(create("run", directory_.file("run")).ok());
  ASSERT_TRUE(create("checkpoint", directory_.file("run/model.ckpt-7")).ok());
  EXPECT_THAT(version_names(), ElementsAre("saved_model_file", "root", "run", "checkpoint"));
  const auto run = load_trained_model(home_ + "/models/mnist/3");
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->global_step, 7);
  EXPECT_TRUE(file_exists(home_ + "/models/mnist/4/saved_model.pb"));
  EXPECT_THAT(files_of("mnist"), ElementsAre("1", "2", "3", "4"));
}

TEST_F(RegistryTest, LeavesNothingOfWhatIsNoModel) {
  const absl::Status missing = create("v1", directory_.file("none")).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(message(missing), HasSubstr(directory_.file("none") + ": no such file or directory"));
  std::string data = exported_ + "/variables/variables.data-00000-of-00001";
  spill(data, with_bit_flipped(slurp(data), 5, 3));
  const absl::Status damaged = create("v1", exported_).status();
  EXPECT_EQ(damaged.code(), absl::StatusCode::kDataLoss) << damaged;
  EXPECT_THAT(message(damaged), AllOf(HasSubstr(exported_), testing::Not(HasSubstr("temp-"))));
  EXPECT_THAT(files_of("mnist"), IsEmpty());
  EXPECT_THAT(version_names(), IsEmpty());
}

TEST_F(RegistryTest, LeavesNothingOfAModelWithOddFiles) {
  const std::string odd = exported_ + "/variables/variables.x";
  ASSERT_EQ(symlink("variables.x", odd.c_str()), 0);  // to itself
  EXPECT_THAT(message(create("v1", exported_).status()), AllOf(HasSubstr(odd), HasSubstr("Too many levels")));
  ASSERT_TRUE(remove_file(odd).ok());
  ASSERT_EQ(symlink("nowhere", odd.c_str()), 0);
  EXPECT_EQ(create("v1", exported_).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(remove_file(odd).ok());
  ASSERT_EQ(mkfifo(odd.c_str(), 0600), 0);
  EXPECT_THAT(message(create("v1", exported_).status()), HasSubstr(odd + ": not a regular file"));
  EXPECT_THAT(files_of("mnist"), IsEmpty());
  EXPECT_THAT(version_names(), IsEmpty());
}

TEST_F(RegistryTest, LeavesNothingWhenTheDiskIsFull) {
  for (const size_t bytes : {0U, 100U, 2000U}) {
    NoSpaceAfter full(bytes);
    const ScopedFileHooks hooks(&full);
    EXPECT_EQ(create("v1", exported_).status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(files_of("mnist"), IsEmpty());
  }
  EXPECT_TRUE(create("v1", exported_).ok());
}

TEST_F(RegistryTest, ChecksNames) {
  EXPECT_TRUE(check_registry_name("model", "a").ok());
  EXPECT_TRUE(check_registry_name("model", "Z_9" + std::string(125, 'x')).ok());
  for (const std::string name : {"", "1", "_a", "a-b", "a.b", "../a", "a/b", "a b", "ä", "a\n"}) {
    EXPECT_EQ(registry_->create_model(named(name)).code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(create(name, exported_).status().code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(registry_->delete_version("mnist", name).code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(registry_->delete_model(name).code(), absl::StatusCode::kInvalidArgument) << name;
  }
  EXPECT_THAT(message(check_registry_name("model", "a-b")), HasSubstr("there is `-` in it"));
  EXPECT_THAT(message(check_registry_name("model", std::string(129, 'x'))), HasSubstr("it has 129 characters"));
  EXPECT_THAT(message(check_registry_name("version", "1a")), HasSubstr("does not begin with a letter"));
}

TEST_F(RegistryTest, TellsWhatIsThereAndWhatIsNot) {
  EXPECT_EQ(registry_->create_model(named("mnist")).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(
      message(registry_->model("minst").status()),
      AllOf(HasSubstr("no model `minst`"), HasSubstr("did you mean `mnist`?"), HasSubstr("models create minst")));
  EXPECT_THAT(message(registry_->version("mnist", "v1").status()),
              HasSubstr("lockstep versions create v1 --model mnist --origin DIR"));
  ASSERT_TRUE(create("v1", exported_).ok());
  EXPECT_EQ(create("v1", exported_).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(message(registry_->set_default("mnist", "v2").status()), HasSubstr("did you mean `v1`?"));
  EXPECT_EQ(registry_->create_version(from("other", "v1", exported_)).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RegistryTest, KeepsTheDefaultWhileThereAreOthers) {
  for (const char* name : {"v1", "v2", "v3"}) ASSERT_TRUE(create(name, exported_).ok());
  EXPECT_EQ(registry_->model("mnist")->model.default_version, "v1");
  const absl::Status kept = registry_->delete_version("mnist", "v1");
  EXPECT_EQ(kept.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(message(kept), HasSubstr("lockstep versions set-default v3 --model mnist"));
  const auto standard = registry_->set_default("mnist", "v2");
  ASSERT_TRUE(standard.ok()) << standard.status();
  EXPECT_TRUE(standard->is_default);
  EXPECT_FALSE(registry_->version("mnist", "v1")->is_default);
  EXPECT_TRUE(registry_->delete_version("mnist", "v1").ok());
  EXPECT_TRUE(registry_->delete_version("mnist", "v3").ok());
  EXPECT_THAT(files_of("mnist"), ElementsAre("2"));
  const absl::Status full = registry_->delete_model("mnist");
  EXPECT_EQ(full.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(message(full), AllOf(HasSubstr("it has 1 version;"), HasSubstr("versions delete v2 --model mnist")));
  EXPECT_TRUE(registry_->delete_version("mnist", "v2").ok());
  EXPECT_EQ(registry_->model("mnist")->model.default_version, "");
  EXPECT_TRUE(registry_->delete_model("mnist").ok());
  EXPECT_THAT(*registry_->models(), IsEmpty());
  EXPECT_FALSE(file_exists(home_ + "/models/mnist"));
}

TEST_F(RegistryTest, NeverGivesANumberTwice) {
  EXPECT_EQ(create("v1", exported_)->number, 1);
  ASSERT_TRUE(registry_->delete_version("mnist", "v1").ok());
  const auto again = create("v1", exported_);
  EXPECT_EQ(again->number, 2);
  EXPECT_TRUE(again->is_default);
  ASSERT_TRUE(registry_->delete_version("mnist", "v1").ok());
  ASSERT_TRUE(registry_->delete_model("mnist").ok());
  ASSERT_TRUE(registry_->create_model(named("mnist")).ok());
  EXPECT_EQ(create("v1", exported_)->number, 3);
}

TEST_F(RegistryTest, KeepsWhatItIsTold) {
  RegisteredModel model = named("other");
  model.description = "two\nlines of \xC3\xA4";
  model.regions = {"us-central1"};
  model.online_prediction_logging = true;
  model.labels = {{"a", "1"}, {"b", ""}};
  ASSERT_TRUE(registry_->create_model(model).ok());
  RegisteredVersion version = from("other", "v1", exported_);
  version.description = "x";
  version.runtime_version = "1.2";
  version.python_version = "2.7";
  version.labels = {{"k", "v"}};
  ASSERT_TRUE(registry_->create_version(version).ok());
  const auto seen = open()->model("other");
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->model.description, model.description);
  EXPECT_EQ(seen->model.regions, model.regions);
  EXPECT_TRUE(seen->model.online_prediction_logging);
  EXPECT_EQ(seen->model.labels, model.labels);
  EXPECT_EQ(seen->model.default_version, "v1");
  EXPECT_EQ(seen->versions.at(0).runtime_version, "1.2");
  EXPECT_EQ(seen->versions.at(0).framework, "TENSORFLOW");
  EXPECT_EQ(seen->versions.at(0).labels, version.labels);
}

TEST_F(RegistryTest, FindsDamagedFiles) {
  const RegisteredVersion version = create("v1", exported_).value();
  const std::string path = version.directory + "/saved_model.pb", bytes = slurp(path);
  const auto verify = [&] { return message(verify_version_files(version.directory, version.files)); };
  spill(path, with_bit_flipped(bytes, bytes.size() / 2, 0));
  EXPECT_THAT(verify(), AllOf(HasSubstr(path + ": damaged in the registry"), HasSubstr("SHA-256")));
  spill(path, bytes.substr(1));
  EXPECT_THAT(verify(), HasSubstr("when it was registered"));
  ASSERT_TRUE(remove_file(path).ok());
  EXPECT_THAT(verify(), HasSubstr("the file is missing"));
  spill(path, bytes);
  EXPECT_EQ(verify(), "");
}

TEST_F(RegistryTest, IsSharedByManyAtOnce) {
  constexpr int kUsers = 4, kEach = 3;
  std::vector<std::thread> users;
  for (int user = 0; user < kUsers; ++user) {
    users.emplace_back([this, user] {
      const auto registry = open();
      for (int i = 0; i < kEach; ++i) {
        const std::string name = "v" + std::to_string(user) + "_" + std::to_string(i);
        const auto made = registry->create_version(from("mnist", name, exported_));
        EXPECT_TRUE(made.ok()) << made.status();
        EXPECT_TRUE(registry->models().ok());
      }
    });
  }
  for (std::thread& user : users) user.join();
  std::set<int64_t> numbers;
  int defaults = 0;
  for (const RegisteredVersion& version : versions()) {
    numbers.insert(version.number);
    defaults += version.is_default ? 1 : 0;
    EXPECT_TRUE(verify_version_files(version.directory, version.files).ok());
  }
  EXPECT_EQ(numbers.size(), kUsers * kEach);
  EXPECT_EQ(*numbers.rbegin(), kUsers * kEach);
  EXPECT_EQ(defaults, 1);
  EXPECT_EQ(files_of("mnist").size(), kUsers * kEach);
}

TEST_F(RegistryTest, IsReadWhileAnotherWrites) {
  auto other = SqliteDatabase::open(registry_database(home_));
  ASSERT_TRUE(other.ok());
  const int64_t before = registry_->change_number().value();
  auto change = other->begin_write();
  ASSERT_TRUE(change.ok());
  ASSERT_TRUE(other->run("UPDATE models SET description = 'new'").ok());
  EXPECT_EQ(registry_->models()->at(0).model.description, "");
  EXPECT_EQ(registry_->change_number().value(), before);
  ASSERT_TRUE(change->commit().ok());
  EXPECT_NE(registry_->change_number().value(), before);
  EXPECT_EQ(registry_->models()->at(0).model.description, "new");
}

TEST(RegistryDatabase, SaysWhatIsWrongWithIt) {
  const TmpDir directory;
  spill(directory.file("registry.db"), std::string(4096, 'x'));
  const absl::Status foreign = Registry::open(directory.path()).status();
  EXPECT_EQ(foreign.code(), absl::StatusCode::kDataLoss) << foreign;
  EXPECT_THAT(message(foreign), HasSubstr(directory.file("registry.db")));
  ASSERT_TRUE(remove_file(directory.file("registry.db")).ok());
  ASSERT_TRUE(SqliteDatabase::open(directory.file("registry.db"))->run("PRAGMA user_version = 7").ok());
  EXPECT_THAT(message(Registry::open(directory.path()).status()), HasSubstr("a registry of format 7"));
  EXPECT_FALSE(Registry::open(directory.file("registry.db")).ok());
}

TEST(RegistryHome, ComesFromTheEnvironment) {
  ASSERT_EQ(setenv("LOCKSTEP_HOME", "/somewhere", 1), 0);
  EXPECT_EQ(*registry_home(), "/somewhere");
  ASSERT_EQ(unsetenv("LOCKSTEP_HOME"), 0);
  const std::string home = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
  ASSERT_EQ(setenv("HOME", "/home/me", 1), 0);
  EXPECT_EQ(*registry_home(), "/home/me/.lockstep");
  ASSERT_EQ(unsetenv("HOME"), 0);
  EXPECT_THAT(message(registry_home().status()), HasSubstr("set LOCKSTEP_HOME"));
  ASSERT_EQ(setenv("HOME", home.c_str(), 1), 0);
}

}  // namespace
}  // namespace lockstep
