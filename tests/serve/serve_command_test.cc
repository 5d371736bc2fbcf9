// SPDX-License-Identifier: Apache-2.0
// `lockstep serve` as a user runs it, with curl.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/serve/curled_server.h"
#include "tests/serve/model_fixture.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

class ServeCommandTest : public testing::Test, protected CurledServer {
 protected:
  void start(const std::string& flags) {
    start_server(fmt::format("--model_name tiny --model_base_path {} {}", base_, flags));
  }

  const TmpDir directory_;
  const std::string base_ = directory_.path() + "/base";
};

TEST_F(ServeCommandTest, AnswersSwapsAndStops) {
  write_run(base_ + "/1");
  start("");
  ASSERT_TRUE(soon([&] { return status("/readyz") == "200"; })) << slurp(log_);
  const std::string body = "-d '{\"instances\": [[0,0,0,0,0,0,0,0,0,0,0,0], [1,1,1,1,1,1,1,1,1,1,1,1]]}'";
  const auto answer = nlohmann::json::parse(curl("/v1/models/tiny:predict", body));
  ASSERT_EQ(answer["predictions"].size(), 2) << answer;
  EXPECT_EQ(answer["predictions"][1]["probabilities"].size(), 3);
  EXPECT_THAT(curl("/"), HasSubstr("<!doctype html>"));
  EXPECT_THAT(curl("/monitoring/prometheus/metrics"),
              testing::AllOf(HasSubstr("request_count{model_name=\"tiny\",status=\"OK\"} 1"),
                             HasSubstr("\nlockstep_serving_http_connections 1\n")));

  write_run(directory_.path() + "/next");
  ASSERT_TRUE(rename_path(directory_.path() + "/next", base_ + "/2").ok());
  ASSERT_TRUE(soon([&] { return status("/v1/models/tiny/versions/2:predict", body) == "200"; })) << slurp(log_);
  ASSERT_TRUE(soon([&] { return status("/v1/models/tiny/versions/1:predict", body) == "404"; })) << slurp(log_);

  ASSERT_EQ(kill(pid_, SIGTERM), 0);
  ASSERT_TRUE(soon([&] { return !is_running(); })) << slurp(log_);
  EXPECT_THAT(slurp(log_), HasSubstr("Stopped; every request that had come in whole has been answered"));
}

// As GNU timeout and service managers do. A request on its way keeps the server from ending before the second one.
TEST_F(ServeCommandTest, TheSameSignalTwiceAtOnceIsOne) {
  write_run(base_);
  start("--drain_seconds 2");
  const std::string port = url_.substr(url_.rfind(':') + 1);
  run_shell("bash -c 'exec 3<>/dev/tcp/127.0.0.1/" + port +
            "; printf \"POST /v1/models/tiny:predict HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: "
            "9\\r\\n\\r\\n{\" >&3; "
            "sleep 20' >/dev/null 2>&1 &");
  ASSERT_TRUE(soon([&] {
    return curl("/monitoring/prometheus/metrics").find("lockstep_serving_http_connections 2\n") != std::string::npos;
  }));
  ASSERT_EQ(kill(pid_, SIGTERM), 0);
  ASSERT_TRUE(soon([&] { return slurp(log_).find("SIGTERM: answering") != std::string::npos; }));
  ASSERT_EQ(kill(pid_, SIGTERM), 0);
  ASSERT_TRUE(soon([&] { return !is_running(); }));
  EXPECT_THAT(slurp(log_), HasSubstr("Stopped; every request that had come in whole has been answered"));
}

// A log that nobody reads any more.
TEST_F(ServeCommandTest, OutlivesTheReaderOfItsLog) {
  write_run(base_ + "/1");
  run_shell(
      fmt::format("{{ {} serve {} --rest_api_port 0 --model_name tiny --model_base_path {} 2>&1 & echo $! >{}.pid; }} "
                  "| sed -n -e 'w {}' -e '/Settings/q' >/dev/null 2>&1 &",
                  LOCKSTEP_PROGRAM, kGrpcFlag, base_, log_, log_));
  ASSERT_TRUE(soon([&] { return file_exists(log_) && slurp(log_).find("Settings: ") != std::string::npos; }));
  pid_ = std::stoi(slurp(log_ + ".pid"));
  wait_for_url();
  write_run(directory_.path() + "/next");  // its version is told to the log
  ASSERT_TRUE(rename_path(directory_.path() + "/next", base_ + "/2").ok());
  EXPECT_TRUE(soon([&] { return status("/v1/models/tiny/versions/2") == "200"; }));
  EXPECT_TRUE(is_running());
}

TEST_F(ServeCommandTest, AsksForItsToken) {
  write_run(base_);
  ASSERT_TRUE(write_file_atomic(directory_.path() + "/token", "not-for-everyone\n").ok());
  start("--auth_token_file " + directory_.path() + "/token");
  ASSERT_TRUE(soon([&] { return status("/readyz") == "200"; })) << slurp(log_);
  EXPECT_EQ(status("/v1/models/tiny"), "401");
  EXPECT_EQ(status("/v1/models/tiny", "-H 'Authorization: Bearer not-for-you'"), "401");
  EXPECT_EQ(status("/v1/models/tiny", "-H 'Authorization: Bearer not-for-everyone'"), "200");
  EXPECT_EQ(status("/"), "200");
  EXPECT_EQ(slurp(log_).find("not-for-everyone"), std::string::npos);
}

TEST_F(ServeCommandTest, SaysWhatItCannotServe) {
  const auto refused = [&](const std::string& flags) {
    return run_shell(fmt::format("{} serve {} --model_base_path {} 2>&1", LOCKSTEP_PROGRAM, flags, base_));
  };
  const std::string rest_at = std::string(kGrpcFlag) + " --rest_api_port ";
  const Outcome missing = refused(rest_at + "0");
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.output,
              testing::AllOf(HasSubstr("it does not exist"), HasSubstr(base_ + "/<number>/saved_model.pb")));
  write_run(base_);
  const Outcome one_port = refused("--rest_api_port 8777 --port 8777");
  EXPECT_EQ(one_port.exit_code, 1);
  EXPECT_THAT(one_port.output, HasSubstr("--rest_api_port and --port are both 8777"));
  const Outcome no_certificate = refused(rest_at + "0 --tls_certificate /dev/null --tls_key /dev/null");
  EXPECT_EQ(no_certificate.exit_code, 1);
  EXPECT_THAT(no_certificate.output,
              testing::AllOf(HasSubstr("--tls_certificate, --tls_key: /dev/null: cannot read a certificate"),
                             testing::Not(HasSubstr("Serving version"))));
  start("");
  const std::string port = url_.substr(url_.rfind(':') + 1);
  const Outcome taken = refused(rest_at + port);
  EXPECT_EQ(taken.exit_code, 1);
  EXPECT_THAT(taken.output, testing::AllOf(HasSubstr("--rest_api_port"), HasSubstr("127.0.0.1 port " + port),
                                           HasSubstr("choose another port")));
}

}  // namespace
}  // namespace lockstep
