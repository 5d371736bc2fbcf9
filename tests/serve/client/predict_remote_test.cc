// SPDX-License-Identifier: Apache-2.0
// `lockstep predict --model` as a user meets it: with `lockstep serve`, and with servers that are none.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "io/png_writer.h"
#include "tests/io/http_fixture.h"
#include "tests/serve/model_fixture.h"
#include "tests/serve/running_server.h"
#include "tests/support/deaf_port.h"
#include "tests/support/fault_file.h"
#include "tests/support/run_program.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kInstance[] = "[0, 1, 0, 0, 0.5, 0, 0, 1, 0, 0, 1, 0]";
constexpr char kCloudPath[] = "/v1/projects/lockstep/models/m:predict";

class PredictRemote : public testing::Test {
 protected:
  // Model m of a directory with versions 1 and 2, of which a server serves the newer one.
  static void SetUpTestSuite() {
    dir_ = new TmpDir;
    write_run(dir_->file("base/1"), kTinyModel, 1);
    write_run(dir_->file("base/2"), kTinyModel, 2);
    server_ = new RunningServer(dir_->file("base"), dir_->file("log"));
    file("one.json", std::string(kInstance) + "\n");
  }
  static void TearDownTestSuite() {
    delete server_;
    delete dir_;
  }

  static Outcome run(const std::string& arguments, const std::string& environment = "") {
    return run_shell("cd " + dir_->path() + " && exec </dev/null && " + environment + " " + LOCKSTEP_PROGRAM +
                     " predict " + arguments);
  }
  static Outcome ask(const std::string& arguments) {
    return run(fmt::format("--model m --host localhost:{} {}", server_->port(), arguments));
  }
  static Outcome ask_fake(const HttpFixture& server, const std::string& arguments) {
    return run(fmt::format("--model m --host {} {}", server.url(), arguments));
  }
  static std::string file(const std::string& name, const std::string& contents) {
    spill(dir_->file(name), contents);
    return name;
  }
  static void expect_failure(const Outcome& outcome, const std::string& message) {
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_THAT(outcome.output, AllOf(StartsWith("lockstep: "), HasSubstr(message)));
  }

  static TmpDir* dir_;
  static RunningServer* server_;
};
TmpDir* PredictRemote::dir_ = nullptr;
RunningServer* PredictRemote::server_ = nullptr;

TEST_F(PredictRemote, TheTableIsThatOfTheSameModelHere) {
  std::string lines;
  for (int i = 0; i < 100; ++i) {
    const double x = 1.0 / (i + 1);
    lines += i % 2 == 0
                 ? fmt::format("[{0}, {1}, 0, 1, {0}, 0.1, 3E-1, {1}, 0, 1, {0}, 0]\n", x, 1 - x)
                 : fmt::format("{{\"inputs\": [[{0}, 0, 1], [0, {1}, 0], [1, 1, {0}], [0, 0, {1}]]}}\r\n", x, 1 - x);
  }
  file("request.json", lines);
  for (const std::string json : {"", " --json"}) {
    const Outcome here = run("--model_dir base/2 --json-instances request.json 2>/dev/null" + json);
    ASSERT_EQ(here.exit_code, 0);
    const Outcome there = ask("--json-instances request.json 2>&1" + json);
    EXPECT_EQ(there.exit_code, 0);
    EXPECT_EQ(there.output, here.output);
    EXPECT_EQ(ask("--version 2 --json_instances - 2>&1 <request.json" + json).output, here.output);
    EXPECT_EQ(ask("--signature-name serving_default --json-instances request.json 2>&1" + json).output, here.output);
  }
}

TEST_F(PredictRemote, PicturesArePreparedAsHere) {
  std::vector<uint8_t> pixels(40 * 30, 255);
  for (size_t y = 5; y < 35; ++y) std::fill_n(pixels.begin() + static_cast<std::ptrdiff_t>(y * 30 + 12), 6, uint8_t{0});
  file("one.png", encode_png(pixels, 40, 30, 1).value());
  file("photo.jpg", "\xff\xd8\xff\xe0");
  const Outcome here = run("--model_dir base/2 --image one.png --image one.png 2>/dev/null");
  ASSERT_EQ(here.exit_code, 0);
  EXPECT_EQ(ask("--image one.png one.png 2>&1").output, here.output);
  expect_failure(ask("--image photo.jpg 2>&1"), "photo.jpg is a JPEG: only PNG is read");
  expect_failure(ask("--image no.png 2>&1"), "no.png: no such file; expected a PNG");
}

TEST_F(PredictRemote, TheBodyOfARequestIsSentAsItIs) {
  file("body.json", fmt::format("{{\n \"signature_name\": \"prediction\",\n \"instances\": [{}]}}\n", kInstance));
  EXPECT_EQ(ask("--json-request body.json 2>&1").output, ask("--json-instances one.json").output);
  const HttpFixture fake({{kCloudPath, {.body = R"({"outputs": [7]})"}}});
  EXPECT_EQ(ask_fake(fake, "--json_request body.json 2>&1").output, "{\"outputs\": [7]}\n");
  EXPECT_THAT(fake.received(), ElementsAre(EndsWith("\r\n\r\n" + slurp(dir_->file("body.json")))));
  file("bad_body.json", "{\"instances\":\n [1,, 2]}");
  expect_failure(ask("--json-request - 2>&1 <bad_body.json"),
                 "standard input:2: Input instances are not in JSON format.");
}

TEST_F(PredictRemote, ErrorsOfTheServerAreShown) {
  expect_failure(ask("--version 1 --json-instances one.json 2>&1"), "Servable not found for request: Specific(m, 1)");
  expect_failure(ask("--version v1 --json-instances one.json 2>&1"), "Servable not found for request: Label(m, v1)");
  const Outcome unknown =
      run(fmt::format("--model=nobody --host=127.0.0.1:{} --json-instances one.json 2>&1", server_->port()));
  expect_failure(unknown, "HTTP request failed. Response: {");
  EXPECT_THAT(unknown.output, AllOf(HasSubstr("Models here: m"), HasSubstr("answered with status 404. --model")));
  expect_failure(ask("--signature-name other --json-instances one.json 2>&1"),
                 "No signature found for signature key other");
  file("short.json", "[1, 2]\n");
  expect_failure(ask("--json-instances short.json 2>&1"), "Prediction failed: ");
}

TEST_F(PredictRemote, FilesAreCheckedBeforeAnythingIsSent) {
  const HttpFixture fake({});
  std::string many;
  for (int i = 0; i < 101; ++i) many += "1\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "No valid instance was found."},
      {"[1]\n\n", "bad.json:2: Empty line is not allowed in the instances file."},
      {"[1]\n[0, 1\n", "bad.json:2: Input instances are not in JSON format."},
      {many, "bad.json:101: Online prediction can process no more than 100 instances per file."}};
  for (const auto& [lines, message] : cases) {
    file("bad.json", lines);
    expect_failure(ask_fake(fake, "--json-instances bad.json 2>&1"), message);
  }
  expect_failure(ask_fake(fake, "--json-instances absent.json 2>&1"),
                 "absent.json: no such file; expected one JSON value");
  expect_failure(ask_fake(fake, "--text-instances bad.json 2>&1"), "no more than 100 instances");
  file("latin", "\xe4\n");
  expect_failure(ask_fake(fake, "--text-instances latin 2>&1"), "latin:1: Instances cannot be JSON encoded");
  EXPECT_EQ(fake.requests(), 0);
}

TEST_F(PredictRemote, TextBecomesStrings) {
  const HttpFixture fake({{kCloudPath, {.body = R"({"predictions": ["x", "y"]})"}}});
  file("text", "a \"b\"\r\n\xc3\xa4\n");
  EXPECT_EQ(ask_fake(fake, "--text-instances text --signature-name s 2>&1").output, "x\ny\n");
  EXPECT_THAT(fake.received(), ElementsAre(EndsWith("\r\n\r\n{\"instances\": [\"a \\\"b\\\"\", \"\xc3\xa4\"], "
                                                    "\"signature_name\": \"s\"}")));
}

TEST_F(PredictRemote, AsksTensorFlowServing) {
  const HttpFixture fake({{"/v1/models/m/versions/3:predict",
                           {.body = "{\n    \"predictions\": [[0.25, 3.48144056e-07], [NaN, 1.0]\n    ]\n}"}}});
  EXPECT_EQ(ask_fake(fake, "--version 3 --json-instances one.json 2>&1").output,
            "[0.25, 3.48144056e-07]\n[nan, 1.0]\n");
}

TEST_F(PredictRemote, TheTokenIsSentAndNotShown) {
  file("token", "not-for-everyone\n");
  file("wrong_token", "for-nobody-here\n");
  const RunningServer server(dir_->file("base"), dir_->file("token_log"), {"--auth_token_file", dir_->file("token")});
  const std::string arguments =
      fmt::format("--model m --host http://localhost:{} --json-instances one.json ", server.port());
  EXPECT_EQ(run(arguments + "--auth_token_file token 2>&1").output, ask("--json-instances one.json").output);
  expect_failure(run(arguments + "2>&1"), "status 401. The server wants a token, or another one: --auth_token_file");
  const Outcome wrong = run(arguments + "--auth-token-file wrong_token 2>&1");
  expect_failure(wrong, "status 401");
  EXPECT_THAT(wrong.output, Not(HasSubstr("for-nobody-here")));
  file("short_token", "x\n");
  expect_failure(run(arguments + "--auth_token_file short_token 2>&1"), "an access token of 1 characters");
}

TEST_F(PredictRemote, HostIsThatOfTheEnvironmentUnlessItIsNamed) {
  const std::string table = ask("--json-instances one.json").output;
  const std::string here = fmt::format("LOCKSTEP_HOST=127.0.0.1:{}", server_->port());
  EXPECT_EQ(run("--model m --json-instances one.json 2>&1", here).output, table);
  EXPECT_EQ(ask("--json-instances one.json").output, table);
  EXPECT_EQ(run("--model_dir base/2 --json-instances one.json 2>/dev/null", here).output, table);
  const HttpFixture proxy({});
  EXPECT_EQ(run("--model m --json-instances one.json 2>&1", here + " http_proxy=" + proxy.url()).output, table);
  EXPECT_EQ(proxy.requests(), 0);
}

TEST_F(PredictRemote, WhatIsNoAnswerIsAnError) {
  expect_failure(
      ask_fake(HttpFixture({{kCloudPath, {.body = "<html>hello</html>"}}}), "--json-instances one.json 2>&1"),
      "No JSON object could be decoded from the HTTP response body: <html>hello</html>");
  expect_failure(
      ask_fake(HttpFixture({{kCloudPath, {.status = 500, .body = "<h1>Oops</h1>"}}}), "--json-instances one.json 2>&1"),
      "HTTP request failed. Response: <h1>Oops</h1>");
  expect_failure(
      ask_fake(HttpFixture({{kCloudPath, {.body = "{", .claimed_length = 9}}}), "--json-instances one.json 2>&1"),
      "no answer that can be used: ");
  expect_failure(
      ask_fake(HttpFixture({{kCloudPath, {.raw = "SSH-2.0-OpenSSH\r\n"}}}), "--json-instances one.json 2>&1"),
      "no answer that can be used: ");
}

TEST_F(PredictRemote, WaitsNoLongerThanItIsToldTo) {
  const auto begin = std::chrono::steady_clock::now();
  const HttpFixture fake({{kCloudPath, {.stall = true}}});
  expect_failure(ask_fake(fake, "--timeout 1 --json-instances one.json 2>&1"), "gave no answer within 1 s");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

TEST_F(PredictRemote, AServerThatIsNotThereIsToldWithWhatToDo) {
  const DeafPort deaf;
  const std::string url = deaf.url();
  expect_failure(run("--model m --json-instances one.json --host " + url + " 2>&1"), "cannot reach " + url);
  EXPECT_THAT(run("--model m --json-instances one.json --host " + url + " 2>&1").output,
              AllOf(HasSubstr("`lockstep serve --model_name m "), HasSubstr("--host")));
}

}  // namespace
}  // namespace lockstep
