// SPDX-License-Identifier: Apache-2.0
// `lockstep models` and `lockstep versions` as a user runs them: what they print, to the byte, and their exit codes.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "tests/serve/registry/registry_fixture.h"
#include "tests/support/fault_file.h"
#include "tests/support/run_program.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Said {
  int exit_code = 0;
  std::string out, err;
};

class RegistryCommands : public RegistryFixture {
 protected:
  RegistryCommands() : exported_(write_export(directory_.file("out"))) {}

  Said lockstep(const std::string& arguments, const std::string& before = "") const {
    const std::string err = directory_.file("stderr");
    const Outcome outcome = run_shell(fmt::format("{} env LOCKSTEP_HOME={} CLOUDSDK_CORE_PROJECT= {} {} 2>{}", before,
                                                  home_, LOCKSTEP_PROGRAM, arguments, err));
    return {outcome.exit_code, outcome.output, slurp(err)};
  }
  // With `mnist`, and `v1` and `v2` in it.
  void fill() const {
    ASSERT_EQ(lockstep("models create mnist").exit_code, 0);
    ASSERT_EQ(lockstep("versions create v1 --model mnist --origin " + exported_).exit_code, 0);
    ASSERT_EQ(lockstep("versions create v2 --model mnist --origin " + exported_).exit_code, 0);
  }
  static std::string without_times(const std::string& text) {
    return std::regex_replace(text, std::regex("'?20\\d\\d-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ'?"), "TIME");
  }

  const std::string exported_;
};

TEST_F(RegistryCommands, CreateAndListAsGcloudDoes) {
  const Said none = lockstep("models list");
  EXPECT_EQ(none.out, "");
  EXPECT_EQ(none.err, "Listed 0 items.\n");
  const Said model = lockstep("models create mnist");
  EXPECT_EQ(model.exit_code, 0);
  EXPECT_EQ(model.out, "");
  EXPECT_EQ(model.err, "Created ml engine model [projects/local/models/mnist].\n");
  EXPECT_EQ(lockstep("versions list --model mnist").err, "Listed 0 items.\n");
  EXPECT_EQ(lockstep("models list").out, "NAME   DEFAULT_VERSION_NAME\nmnist\n");
  const Said version = lockstep("versions create v1 --model mnist --origin " + exported_);
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(version.out, "");
  EXPECT_EQ(version.err, "Creating version (this might take a few minutes)......done.\n");
  EXPECT_EQ(lockstep("models list").out, "NAME   DEFAULT_VERSION_NAME\nmnist  v1\n");
  EXPECT_EQ(lockstep("versions list --model mnist").out,
            fmt::format("NAME  DEPLOYMENT_URI{}  STATE\nv1    {}  READY\n", std::string(exported_.size() - 14, ' '),
                        exported_));
}

TEST_F(RegistryCommands, DescribeAsGcloudDoes) {
  ASSERT_EQ(lockstep("models create mnist --description 'Digits: ten' --labels a=1,b=x --regions us-central1 "
                     "--enable_logging --project p")
                .exit_code,
            0);
  const Said made = lockstep(fmt::format(
      "versions create v1 --model mnist --origin {} --runtime_version 1.2 --python-version=2.7 --framework tensorflow",
      exported_));
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.err, HasSubstr("only recorded"));
  const std::string version = fmt::format(
      "createTime: TIME\n"
      "deploymentUri: {}\n"
      "framework: TENSORFLOW\n"
      "isDefault: true\n"
      "name: projects/p/models/mnist/versions/v1\n"
      "pythonVersion: '2.7'\n"
      "runtimeVersion: '1.2'\n"
      "state: READY\n",
      exported_);
  const Said described = lockstep("versions describe v1 --model mnist --project p");
  EXPECT_EQ(without_times(described.out), version);
  EXPECT_TRUE(std::regex_search(described.out, std::regex("^createTime: '20\\d\\d-.*Z'\n"))) << described.out;
  EXPECT_EQ(without_times(lockstep("versions set-default v1 --model mnist --project=p").out), version);
  EXPECT_EQ(without_times(lockstep("models describe mnist --project p").out),
            "defaultVersion:\n" + std::regex_replace(version, std::regex("(^|\n)(?=.)"), "$1  ") +
                "description: 'Digits: ten'\n"
                "labels:\n"
                "  a: '1'\n"
                "  b: x\n"
                "name: projects/p/models/mnist\n"
                "onlinePredictionLogging: true\n"
                "regions:\n"
                "- us-central1\n");
  const auto json = nlohmann::json::parse(lockstep("models describe mnist --format=json").out);
  EXPECT_EQ(json["defaultVersion"]["name"], "projects/local/models/mnist/versions/v1");
  EXPECT_EQ(nlohmann::json::parse(lockstep("versions list --model mnist --format json").out)[0]["state"], "READY");
}

TEST_F(RegistryCommands, AskBeforeTheyDelete) {
  fill();
  const std::string remove = "versions delete v2 --model mnist";
  const Said no = lockstep(remove, "echo n |");
  EXPECT_EQ(no.exit_code, 1);
  EXPECT_EQ(no.err, "This will delete version [v2]...\n\nDo you want to continue (Y/n)?  lockstep: Aborted by user.\n");
  const Said nothing = lockstep(remove, ":|");
  EXPECT_EQ(nothing.exit_code, 1);
  EXPECT_THAT(nothing.err, HasSubstr("--quiet goes on without asking"));
  EXPECT_THAT(lockstep("versions list --model mnist").out, HasSubstr("v2"));
  const Said yes = lockstep(remove, "printf 'maybe\\n\\n' |");
  EXPECT_EQ(yes.exit_code, 0);
  EXPECT_EQ(yes.err,
            "This will delete version [v2]...\n\nDo you want to continue (Y/n)?  Please enter 'y' or 'n':  \n"
            "Deleting version [v2]......done.\n");
  EXPECT_EQ(lockstep("versions delete v1 --model mnist --quiet").err, "Deleting version [v1]......done.\n");
  const Said model = lockstep("models delete mnist", "echo Yes |");
  EXPECT_EQ(model.exit_code, 0);
  EXPECT_EQ(model.err,
            "This will delete model [mnist]...\n\nDo you want to continue (Y/n)?  \nDeleting model [mnist]...done.\n");
}

TEST_F(RegistryCommands, SetTheDefaultVersion) {
  fill();
  const Said kept = lockstep("versions delete v1 --model mnist -q");
  EXPECT_EQ(kept.exit_code, 1);
  EXPECT_THAT(kept.err, AllOf(HasSubstr("Deleting version [v1]...failed.\nlockstep: version `v1` is the default"),
                              HasSubstr("lockstep versions set-default v2 --model mnist")));
  EXPECT_THAT(lockstep("versions set-default v2 --model mnist").out, HasSubstr("isDefault: true\n"));
  EXPECT_EQ(lockstep("models list").out, "NAME   DEFAULT_VERSION_NAME\nmnist  v2\n");
  EXPECT_EQ(lockstep("versions delete v1 --model mnist -q").exit_code, 0);
  const Said full = lockstep("models delete mnist -q");
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.err, HasSubstr("versions delete v2 --model mnist"));
}

TEST_F(RegistryCommands, TellWrongUsageFromFailure) {
  ASSERT_EQ(lockstep("models create mnist").exit_code, 0);
  for (const std::string arguments :
       {"models", "models create", "models create a-b", "models create ../x", "models create a --labels X=1",
        "models list --format=csv", "versions list", "versions create v1 --model mnist",
        "versions create 1 --model mnist --origin x", "versions create v1 --model mnist --origin gs://b/m",
        "versions create v1 --model mnist --origin x --config /none.yaml", "versions delete v1 --model a/b -q"}) {
    const Said said = lockstep(arguments);
    EXPECT_EQ(said.exit_code, 2) << arguments << "\n" << said.err;
    EXPECT_THAT(said.err, HasSubstr("lockstep: ")) << arguments;
  }
  EXPECT_THAT(lockstep("models create a-b").err, HasSubstr("there is `-` in it"));
  EXPECT_THAT(lockstep("versions creat v1").err, HasSubstr("did you mean `create`?"));
  for (const std::string arguments :
       {"models create mnist", "models describe minst", "versions describe v1 --model mnist",
        "versions create v1 --model mnist --origin /nowhere", "versions set-default v1 --model mnist"}) {
    EXPECT_EQ(lockstep(arguments).exit_code, 1) << arguments;
  }
  EXPECT_EQ(
      lockstep("versions create v1 --model mnist --origin /nowhere")
          .err.find("Creating version (this might take a few minutes)...failed.\nlockstep: /nowhere: no such file"),
      0);
}

TEST_F(RegistryCommands, SayWhichFlagsHaveNoUse) {
  ASSERT_EQ(lockstep("models create mnist").exit_code, 0);
  const Said said =
      lockstep(fmt::format("versions create v1 --model mnist --origin {} --staging-bucket gs://b --async", exported_));
  EXPECT_EQ(said.exit_code, 0);
  EXPECT_EQ(said.err,
            "lockstep: note: --staging-bucket is not used: files are copied straight into the registry\n"
            "lockstep: note: --async is not used: the version is ready when this command ends\n"
            "Creating version (this might take a few minutes)......done.\n");
}

TEST_F(RegistryCommands, TakeFieldsFromAFile) {
  ASSERT_EQ(lockstep("models create mnist").exit_code, 0);
  const std::string config = directory_.file("version.yaml");
  const auto create = [&](const std::string& name, const std::string& fields, const std::string& flags = "") {
    spill(config, fields);
    return lockstep(fmt::format("versions create {} --model mnist --config {} {}", name, config, flags));
  };
  const Said made = create("v1",
                           fmt::format("deploymentUri: {}\ndescription: of the file\nruntimeVersion: '1.2'\n"
                                       "labels: {{a: x, b: w}}\nmanualScaling: {{nodes: 2}}\n",
                                       exported_),
                           "--description 'of the flag' --labels a=z");
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.err, HasSubstr("lockstep: note: manualScaling of " + config + " is not used"));
  EXPECT_EQ(without_times(lockstep("versions describe v1 --model mnist").out),
            fmt::format("createTime: TIME\ndeploymentUri: {}\ndescription: of the flag\nframework: TENSORFLOW\n"
                        "isDefault: true\nlabels:\n  a: z\n  b: w\nname: projects/local/models/mnist/versions/v1\n"
                        "runtimeVersion: '1.2'\nstate: READY\n",
                        exported_));
  EXPECT_EQ(create("v2", "{\"description\": \"JSON\"}", "--origin " + exported_).exit_code, 0);
  for (const auto& [fields, error] : {std::pair("description: x\n", "deploymentUri: expected a path"),
                                      {"deploymentUri: gs://b/m\n", "copy it here first"},
                                      {"deploymentUrl: /x\n", ":1: unknown key `deploymentUrl`"},
                                      {"a: [", "not valid YAML"},
                                      {"framework: XGBOOST\n", "`framework` must be TENSORFLOW"},
                                      {"labels: {A: x}\n", "labels: expected key=value"},
                                      {"description: [x]\n", "`description` must be a text"}}) {
    const Said said = create("v3", fields);
    EXPECT_EQ(said.exit_code, 1) << fields;
    EXPECT_THAT(said.err, AllOf(HasSubstr(config), HasSubstr(error)));
  }
}

TEST_F(RegistryCommands, WorkAtOnceInSeveralProcesses) {
  ASSERT_EQ(lockstep("models create mnist").exit_code, 0);
  std::string together;
  for (int i = 0; i < 4; ++i) {
    together += fmt::format("env LOCKSTEP_HOME={} {} versions create v{} --model mnist --origin {} & ", home_,
                            LOCKSTEP_PROGRAM, i, exported_);
  }
  const Outcome outcome = run_shell(fmt::format("({} wait) 2>&1", together));
  EXPECT_EQ(open()->model("mnist").value().versions.size(), 4) << outcome.output;
  EXPECT_EQ(files_of("mnist").size(), 4);
}

}  // namespace
}  // namespace lockstep
