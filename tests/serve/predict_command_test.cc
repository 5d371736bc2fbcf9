// SPDX-License-Identifier: Apache-2.0
// `lockstep request create` and `lockstep predict` as a user meets them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "io/png_writer.h"
#include "tests/io/http_fixture.h"
#include "tests/io/io_fixtures.h"
#include "tests/serve/model_fixture.h"
#include "tests/support/fault_file.h"
#include "tests/support/run_program.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class PredictCommand : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new TmpDir;
    write_run(dir_->file("run"));
    write_idx_directory(dir_->path(), 8, 6, true);
  }
  static void TearDownTestSuite() { delete dir_; }

  static Outcome run(const std::string& arguments) {
    return run_shell("cd " + dir_->path() + " && exec </dev/null && " + LOCKSTEP_PROGRAM + " " + arguments);
  }
  static std::string file(const std::string& name, const std::string& contents) {
    spill(dir_->file(name), contents);
    return name;
  }

  static void expect_failure(int code, const std::string& arguments, const std::string& message) {
    const Outcome outcome = run(arguments + " 2>&1");
    EXPECT_EQ(outcome.exit_code, code) << arguments;
    EXPECT_THAT(outcome.output, AllOf(HasSubstr("lockstep: "), HasSubstr(message))) << arguments;
  }

  static TmpDir* dir_;
};
TmpDir* PredictCommand::dir_ = nullptr;

constexpr char kCloudPath[] = "/v1/projects/lockstep/models/m:predict";
constexpr char kInstance[] = "[0, 1, 0, 0, 0.5, 0, 0, 1, 0, 0, 1, 0]";

TEST_F(PredictCommand, RequestFileGivesTheTable) {
  const Outcome created = run("request create --data_dir . -n 4 2>&1");
  EXPECT_EQ(created.exit_code, 0);
  EXPECT_EQ(created.output, "Wrote request.json: 4 images of the test set of .\n");
  const Outcome outcome = run("predict --model_dir run --json-instances request.json");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, StartsWith("CLASSES  PROBABILITIES\n"));
  EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 5);

  const Outcome answer = run("predict --model-dir=run --json_instances=request.json --json --threads 2");
  const json predictions = json::parse(answer.output)["predictions"];
  ASSERT_EQ(predictions.size(), 4u);
  for (const json& prediction : predictions) {
    const auto probabilities = prediction["probabilities"].get<std::vector<double>>();
    ASSERT_EQ(probabilities.size(), 3u);
    EXPECT_NEAR(probabilities[0] + probabilities[1] + probabilities[2], 1, 1e-6);
    EXPECT_EQ(prediction["classes"],
              std::max_element(probabilities.begin(), probabilities.end()) - probabilities.begin());
  }
}

TEST_F(PredictCommand, RequestGoesThroughAPipe) {
  const std::string program = LOCKSTEP_PROGRAM;
  const Outcome direct = run("request create --data_dir . -n 3 --output -");
  EXPECT_THAT(direct.output, StartsWith("{\"inputs\": ["));
  EXPECT_EQ(run("request create --data_dir . -n 3 --output - 2>&1 >direct.json").output, "");
  EXPECT_EQ(direct.output, slurp(dir_->file("direct.json")));
  const Outcome piped =
      run("request create --data_dir . -n 3 --output - | " + program + " predict --model_dir run --json-instances -");
  EXPECT_EQ(piped.exit_code, 0);
  EXPECT_EQ(piped.output, run("predict --model_dir run --json-instances direct.json").output);
  EXPECT_THAT(piped.output, StartsWith("CLASSES  PROBABILITIES\n"));
}

TEST_F(PredictCommand, EveryWayToNameAModel) {
  file("one.json", std::string(kInstance) + "\n");
  const std::string expected = run("predict --model_dir run --json-instances one.json").output;
  EXPECT_THAT(expected, HasSubstr("\n"));
  for (const std::string model : {"run/", "./run/model.ckpt-7", "run/model.ckpt-7.index"}) {
    EXPECT_EQ(run("predict --model_dir " + model + " --json-instances one.json").output, expected) << model;
  }
}

TEST_F(PredictCommand, TellsOnStandardErrorWhichModelAnswered) {
  file("one.json", std::string(kInstance) + "\n");
  for (const std::string model : {"run", "run/model.ckpt-7", "run/model.ckpt-7.index"}) {
    const Outcome errors = run("predict --model_dir " + model + " --json-instances one.json 2>&1 >table");
    EXPECT_EQ(errors.exit_code, 0) << model;
    EXPECT_EQ(errors.output, "Model: run/model.ckpt-7, step 7\n") << model;
  }
}

TEST_F(PredictCommand, VersionIsPrinted) {
  const Outcome outcome = run("--version");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, testing::MatchesRegex("lockstep [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST_F(PredictCommand, MoreInstancesThanOnePassTakes) {
  std::string lines;
  for (int i = 0; i < 250; ++i) lines += kInstance + std::string("\n");
  file("many.json", lines);
  const Outcome outcome = run("predict --model_dir run --json-instances many.json");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 251);
}

TEST_F(PredictCommand, PicturesAreRead) {
  std::vector<uint8_t> pixels(40 * 30, 255);
  for (size_t y = 5; y < 35; ++y) std::fill_n(pixels.begin() + static_cast<std::ptrdiff_t>(y * 30 + 12), 6, uint8_t{0});
  file("one.png", encode_png(pixels, 40, 30, 1).value());
  file("blank.png", encode_png(std::vector<uint8_t>(1200, 255), 40, 30, 1).value());
  const Outcome outcome = run("predict --model_dir run --image one.png --image one.png 2>&1");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, HasSubstr("one.png: 30x40 grey, dark on light, digit of 6x30 scaled to"));
  EXPECT_THAT(run("predict --model_dir run --image one.png one.png").output, StartsWith("CLASSES  PROBABILITIES\n"));
  expect_failure(1, "predict --model_dir run --image one.png --image blank.png", "blank.png: blank");
  file("cut.png", slurp(dir_->file("one.png")).substr(0, 60));
  expect_failure(1, "predict --model_dir run --image cut.png", "cut.png: offset");
  expect_failure(1, "predict --model_dir run --image no.png", "lockstep: no.png: no such file; expected a PNG");
  file("photo.jpg", "\xff\xd8\xff\xe0");
  expect_failure(1, "predict --model_dir run --image photo.jpg", "photo.jpg is a JPEG: only PNG is read");
}

TEST_F(PredictCommand, OnePictureComesFromStandardInput) {
  std::vector<uint8_t> pixels(40 * 30, 255);
  for (size_t y = 5; y < 35; ++y) std::fill_n(pixels.begin() + static_cast<std::ptrdiff_t>(y * 30 + 12), 6, uint8_t{0});
  file("piped.png", encode_png(pixels, 40, 30, 1).value());
  const Outcome piped = run("predict --model_dir run --image - <piped.png 2>errors");
  EXPECT_EQ(piped.exit_code, 0);
  EXPECT_EQ(piped.output, run("predict --model_dir run --image piped.png 2>/dev/null").output);
  EXPECT_THAT(slurp(dir_->file("errors")), StartsWith("standard input: 30x40 grey"));
  expect_failure(1, "predict --model_dir run --image - </dev/null", "standard input");
  expect_failure(2, "predict --model_dir run --image - --image - <piped.png", "--image: standard input (-) is one");
  expect_failure(2, "predict --model m --image - - <piped.png", "--image: standard input (-) is one picture");

  const HttpFixture server({{kCloudPath, {.body = R"({"predictions": ["seven"]})"}}});
  const std::string ask = "predict --model m --host " + server.url() + " --image ";
  EXPECT_EQ(run(ask + "- <piped.png 2>&1").output, "seven\n");
  run(ask + "piped.png");
  const auto body = [](const std::string& request) { return request.substr(request.find("\r\n\r\n")); };
  ASSERT_EQ(server.requests(), 2);
  EXPECT_EQ(body(server.received()[0]), body(server.received()[1]));
  expect_failure(1, ask + "- </dev/null", "standard input");
}

TEST_F(PredictCommand, InstanceThatAServerRefusesIsToldWithItsLine) {
  file("three.json", "[1]\n[2]\n[3]\n");
  file("body.json", R"({"instances": [[1], [2], [3]]})");
  const std::pair<std::string, std::string> cases[] = {
      {"of 12 numbers (instance 2). Example: []", "lockstep: three.json:3: HTTP request failed."},
      {"of 12 numbers", "lockstep: HTTP request failed."},
      {"(instance 100)", "lockstep: HTTP request failed."},
      {"(instance two)", "lockstep: HTTP request failed."},
      {"(instance ", "lockstep: HTTP request failed."}};
  for (const auto& [error, begin] : cases) {
    const HttpFixture server(
        {{kCloudPath, {.status = 400, .body = json{{"error", "Prediction failed: " + error}}.dump()}}});
    const std::string ask = "predict --model m --host " + server.url();
    const Outcome lines = run(ask + " --json-instances three.json 2>&1");
    EXPECT_EQ(lines.exit_code, 1);
    EXPECT_THAT(lines.output, AllOf(StartsWith(begin), HasSubstr(error)));
    EXPECT_THAT(run(ask + " --json-request body.json 2>&1").output, StartsWith("lockstep: HTTP request failed."));
  }
}

TEST_F(PredictCommand, PixelsAsBytesAreWarnedOfOnce) {
  file("bytes.json", std::string(kInstance) + "\n[0, 255, 0, 0, 9, 0, 0, 255, 0, 0, 254, 0]\n" + kInstance + "\n");
  const Outcome outcome = run("predict --model_dir run --json-instances bytes.json 2>&1 >table");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(
      outcome.output,
      "lockstep: warning: bytes.json:2: numbers above 1, up to 255; pixels are expected from 0 to 1, as `lockstep "
      "request create` writes them: divide those from 0 to 255 by 255\nModel: run/model.ckpt-7, step 7\n");
}

TEST_F(PredictCommand, BadInstancesExitWithOneAndTheReason) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "No valid instance was found."},
      {std::string(kInstance) + "\n\n", "bad.json:2: Empty line is not allowed in the instances file."},
      {"[0, 1\n", "bad.json:1: Input instances are not in JSON format."},
      {std::string(kInstance) + "\n[1, 2]\n",
       "bad.json:2: Invalid inputs: Input mismatch: inputs expected a list of 12 numbers, or 4x3 of them nested, got 2 "
       "numbers (Error code: 1)"},
      {"{\"x\": 1}\n",
       "bad.json:1: Invalid inputs: Expected tensor name: inputs, got tensor name: ['x']. (Error code: 1)"}};
  for (const auto& [lines, message] : cases) {
    file("bad.json", lines);
    expect_failure(1, "predict --model_dir run --json-instances bad.json", message);
    EXPECT_EQ(run("predict --model_dir run --json-instances bad.json 2>/dev/null").output, "") << lines;
  }
  expect_failure(1, "predict --model_dir run --json-instances absent.json",
                 "lockstep: absent.json: no such file; expected one JSON value a line");
  expect_failure(1, "predict --model_dir run --json-instances -", "standard input: No valid instance was found.");
  EXPECT_THAT(run("predict --model_dir run --json-instances - 2>&1 <bad.json").output,
              StartsWith("lockstep: standard input:1: Invalid inputs: "));
  expect_failure(1, "predict --model_dir nowhere --json-instances bad.json",
                 "Failed to load model: nowhere: no such file or directory; expected a run");
}

TEST_F(PredictCommand, PipeOfAShellIsReadToItsEnd) {
  file("pipe.json", std::string(kInstance) + "\n");
  const std::string program = std::string(LOCKSTEP_PROGRAM) + " predict --model_dir run --json-instances ";
  const Outcome piped = run_shell("cd " + dir_->path() + " && mkfifo -m 600 pipe && (cat pipe.json >pipe & exec " +
                                  program + "pipe) && rm pipe");
  EXPECT_EQ(piped.exit_code, 0);
  EXPECT_EQ(piped.output, run("predict --model_dir run --json-instances pipe.json").output);
}

TEST_F(PredictCommand, WrongUsageExitsWithTwo) {
  expect_failure(2, "predict --json-instances x", "--model_dir");
  expect_failure(2, "predict --model_dir run --model mnist --json-instances x", "--model_dir");
  expect_failure(2, "predict --model_dir run", "--json-instances");
  expect_failure(2, "predict --model_dir run --json-instances x --image y", "--image");
  expect_failure(2, "predict --model_dir run --signature-name serving_default --json-instances x",
                 "leave the flag out");
  expect_failure(2, "predict --model_dir run --version 1 --json-instances x", "takes the directory of a version, too");
  expect_failure(2, "predict --version 1 --json-instances x", "--model_dir");
  expect_failure(2, "predict --model_dir run --json-request x", "--json-instances takes its instances");
  expect_failure(2, "predict --model_dir run --text-instances x", "use --json-instances");
  expect_failure(2, "predict --model_dir run --host h --json-instances x", "is for a server");
  expect_failure(2, "predict --model_dir run --timeout 1 --json-instances x", "is for a server");
  expect_failure(2, "predict --model m --host ftp://h --json-instances x", "`ftp://h` names no server");
  expect_failure(2, "predict --model m --threads 1 --json-instances x", "is for --model_dir");
  expect_failure(2, "predict --model m --timeout 0 --json-instances x", "--timeout");
  expect_failure(2, "predict --model m --cacert absent.pem --json-instances x", "absent.pem");
  expect_failure(2, "predict --model m --json-request x --signature-name s", "has it as \"signature_name\"");
  expect_failure(2, "predict --model_dir run --json-instnces x", "(did you mean `--json-instances`?)");
  expect_failure(2, "predict --model_dir run --json-instances x --threads -1", "--threads");
  expect_failure(2, "predit", "unknown subcommand `predit` (did you mean `predict`?)");
  expect_failure(2, "request create -n 3", "--data_dir");
  expect_failure(2, "request create --data_dir . -n 0", "--count: Value 0");
  expect_failure(2, "request create --data_dir . -n x", "got `x`");
  expect_failure(1, "request create --data_dir . -n 7", "7 images asked for, but the test set holds 6");
}

TEST_F(PredictCommand, HelpShowsDefaultsAndUnits) {
  EXPECT_THAT(run("request create --help").output,
              AllOf(HasSubstr("--output FILE=request.json"), HasSubstr("-n,--count images=10")));
  std::string help = run("predict --help").output;
  EXPECT_THAT(help, AllOf(HasSubstr("\nModel (one of):\n"), HasSubstr("--model_dir,--model-dir PATH\n"),
                          HasSubstr("--model NAME "), HasSubstr("--host HOST="), HasSubstr("--threads threads=0 "),
                          HasSubstr("\nInput (one of):\n"), HasSubstr("--image FILE ...")));
  const auto both_spaces = [](char a, char b) { return std::isspace(a) != 0 && std::isspace(b) != 0; };
  std::replace(help.begin(), help.end(), '\n', ' ');
  help.erase(std::unique(help.begin(), help.end(), both_spaces), help.end());
  EXPECT_THAT(help, HasSubstr("any number of lines, online prediction on a server, as gcloud's, at most 100 "));
}

TEST_F(PredictCommand, HelpFitsATerminalAndHasNoTextOfTheParser) {
  for (const std::string command :
       {"", "records create", "request create", "export", "import", "predict", "inspect", "serve"}) {
    const Outcome outcome = run(command + " --help");
    EXPECT_EQ(outcome.exit_code, 0) << command;
    for (const std::string noise : {":INT", ":{", "Exactly 1", "and exit", "=[]", "Needs:", "FILE:FILE"}) {
      EXPECT_THAT(outcome.output, testing::Not(HasSubstr(noise))) << command;
    }
    constexpr size_t kWidth = 120;
    for (size_t at = 0, end = 0; at < outcome.output.size(); at = end + 1) {
      end = std::min(outcome.output.find('\n', at), outcome.output.size());
      EXPECT_LE(end - at, kWidth) << outcome.output.substr(at, end - at);
    }
  }
}

}  // namespace
}  // namespace lockstep
