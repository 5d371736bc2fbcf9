// SPDX-License-Identifier: Apache-2.0
// `lockstep serve` without --model_base_path, while another process changes the registry.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/serve/curled_server.h"
#include "tests/serve/registry/registry_fixture.h"

namespace lockstep {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

constexpr char kBody[] = "-d '{\"instances\": [[0, 0.5, 1, 0, 0.25, 0, 1, 1, 0, 0, 0.125, 1]]}'";

class RegistryServeTest : public RegistryFixture, protected CurledServer {
 protected:
  // Two models that give different probabilities.
  RegistryServeTest() : first_(write_export(directory_.file("a"), 1)), second_(write_export(directory_.file("b"), 2)) {}

  void start() { start_server("", "LOCKSTEP_HOME=" + home_); }
  Outcome lockstep(const std::string& arguments) const {
    return run_shell(fmt::format("env LOCKSTEP_HOME={} {} {} 2>&1", home_, LOCKSTEP_PROGRAM, arguments));
  }
  // What the model says of one image; empty when it does not answer.
  json probabilities(const std::string& path) const {
    const json answer = json::parse(curl(path + ":predict", kBody), nullptr, false);
    return answer.contains("predictions") ? answer["predictions"][0]["probabilities"] : json();
  }

  const std::string first_, second_;
};

TEST_F(RegistryServeTest, ServesWhatIsCreatedAndNotWhatIsDeleted) {
  start();
  EXPECT_THAT(slurp(log_), AllOf(HasSubstr("has no models"), HasSubstr("lockstep models create NAME"),
                                 HasSubstr("lockstep versions create v1 --model NAME --origin DIR")));
  EXPECT_EQ(status("/healthz"), "200");
  EXPECT_EQ(status("/readyz"), "503");
  ASSERT_EQ(lockstep("models create mnist").exit_code, 0);
  ASSERT_TRUE(soon([&] {
    return curl("/v1/models/mnist:predict", kBody).find("versions create v1 --model mnist") != std::string::npos;
  })) << slurp(log_);
  EXPECT_EQ(status("/v1/models/mnist:predict", kBody), "404");
  EXPECT_THAT(curl("/v1/models/mnist"), HasSubstr("it has no version in the registry yet"));

  ASSERT_EQ(lockstep("versions create v1 --model mnist --origin " + first_).exit_code, 0);
  ASSERT_TRUE(soon([&] { return status("/readyz") == "200"; })) << slurp(log_);
  const json first = probabilities("/v1/models/mnist");
  ASSERT_EQ(first.size(), 3) << slurp(log_);
  EXPECT_EQ(probabilities("/v1/models/mnist/labels/v1"), first);
  EXPECT_EQ(probabilities("/v1/models/mnist/versions/1"), first);
  const json cloud = probabilities("/v1/projects/p/models/mnist");
  EXPECT_EQ(probabilities("/v1/projects/p/models/mnist/versions/v1"), cloud);

  ASSERT_EQ(lockstep("versions create v2 --model mnist --origin " + second_).exit_code, 0);
  ASSERT_TRUE(soon([&] { return status("/v1/models/mnist/labels/v2") == "200"; }));
  ASSERT_TRUE(soon([&] { return !probabilities("/v1/models/mnist/labels/v2").empty(); }));
  const json second = probabilities("/v1/models/mnist/labels/v2");
  ASSERT_NE(second, first);
  EXPECT_EQ(probabilities("/v1/models/mnist"), first);
  ASSERT_EQ(lockstep("versions set-default v2 --model mnist").exit_code, 0);
  ASSERT_TRUE(soon([&] { return probabilities("/v1/models/mnist") == second; }));
  EXPECT_NE(probabilities("/v1/projects/p/models/mnist"), cloud);
  EXPECT_EQ(probabilities("/v1/projects/p/models/mnist/versions/v1"), cloud);

  ASSERT_EQ(lockstep("versions delete v1 --model mnist --quiet").exit_code, 0);
  ASSERT_TRUE(soon([&] { return status("/v1/models/mnist/labels/v1:predict", kBody) == "404"; }));
  EXPECT_EQ(status("/v1/projects/p/models/mnist/versions/v1:predict", kBody), "404");
  EXPECT_EQ(status("/v1/models/mnist/versions/1:predict", kBody), "404");
  EXPECT_EQ(probabilities("/v1/models/mnist"), second);
  ASSERT_EQ(lockstep("versions delete v2 --model mnist --quiet").exit_code, 0);
  ASSERT_EQ(lockstep("models delete mnist --quiet").exit_code, 0);
  ASSERT_TRUE(soon([&] { return status("/v1/models/mnist") == "404"; }));
  EXPECT_EQ(kill(pid_, 0), 0) << slurp(log_);
}

TEST_F(RegistryServeTest, SaysWhyADamagedVersionDoesNotAnswer) {
  ASSERT_EQ(lockstep("models create mnist").exit_code, 0);
  ASSERT_EQ(lockstep("versions create v1 --model mnist --origin " + first_).exit_code, 0);
  const std::string path = home_ + "/models/mnist/1/saved_model.pb";
  spill(path, slurp(path) + "x");
  start();
  ASSERT_TRUE(soon([&] { return curl("/v1/models/mnist").find("damaged in the registry") != std::string::npos; }))
      << slurp(log_);
  EXPECT_THAT(curl("/readyz"), AllOf(HasSubstr("mnist version 1: END"), HasSubstr(path)));
  EXPECT_EQ(status("/v1/models/mnist:predict", kBody), "503");
}

TEST_F(RegistryServeTest, DeletedVersionsDoNotAnswerForADamagedOne) {
  ASSERT_EQ(lockstep("models create m").exit_code, 0);
  for (const char* name : {"v1", "v2", "v3"}) {
    ASSERT_EQ(lockstep(fmt::format("versions create {} --model m --origin {}", name, first_)).exit_code, 0);
  }
  const std::string path = home_ + "/models/m/3/saved_model.pb";
  spill(path, slurp(path) + "x");
  start();
  ASSERT_TRUE(soon([&] { return !probabilities("/v1/models/m").empty(); }));
  ASSERT_TRUE(soon([&] { return status("/v1/models/m/labels/v3:predict", kBody) == "503"; }));
  ASSERT_EQ(lockstep("versions set-default v3 --model m").exit_code, 0);
  ASSERT_EQ(lockstep("versions delete v1 --model m --quiet").exit_code, 0);
  ASSERT_EQ(lockstep("versions delete v2 --model m --quiet").exit_code, 0);
  for (const char* version : {"labels/v1", "versions/1", "labels/v2"}) {
    const std::string of_version = fmt::format("/v1/models/m/{}", version);
    EXPECT_TRUE(soon([&] { return status(of_version + ":predict", kBody) == "404"; })) << version;
    EXPECT_EQ(status(of_version), "404") << version;
  }
  ASSERT_TRUE(soon([&] { return status("/v1/models/m:predict", kBody) == "503"; }));
  EXPECT_THAT(curl("/v1/models/m:predict", kBody), HasSubstr("damaged in the registry"));
}

TEST_F(RegistryServeTest, ABrokenNewModelDoesNotTakeTheServerOutOfService) {
  ASSERT_EQ(lockstep("models create m").exit_code, 0);
  ASSERT_EQ(lockstep("versions create v1 --model m --origin " + first_).exit_code, 0);
  start();
  ASSERT_TRUE(soon([&] { return status("/readyz") == "200"; }));
  // Another registry takes its place, with a model that is damaged from the start.
  const std::string other = directory_.file("other"), mine = home_;
  ASSERT_TRUE(run_shell(fmt::format("cp -a {} {}", mine, other)).exit_code == 0);
  ASSERT_TRUE(Registry::open(other).value()->create_model(named("bad")).ok());
  ASSERT_TRUE(Registry::open(other).value()->create_version(from("bad", "v1", second_)).ok());
  const std::string path = "/models/bad/1/saved_model.pb";
  spill(other + path, slurp(other + path) + "x");
  ASSERT_TRUE(rename_path(other + "/models/bad", mine + "/models/bad").ok());
  ASSERT_TRUE(rename_path(other + "/registry.db", mine + "/registry.db").ok());
  ASSERT_TRUE(soon([&] { return curl("/v1/models/bad").find("damaged in the registry") != std::string::npos; }))
      << slurp(log_);
  EXPECT_EQ(status("/readyz"), "200");
  EXPECT_FALSE(probabilities("/v1/models/m").empty());
}

TEST_F(RegistryServeTest, ModelNameIsOfABasePath) {
  const Outcome name = lockstep("serve --model_name mnist");
  EXPECT_EQ(name.exit_code, 2);
  EXPECT_THAT(name.output, HasSubstr("--model_base_path"));
  EXPECT_EQ(lockstep("serve --model_base_path ''").exit_code, 2);
}

}  // namespace
}  // namespace lockstep
