// SPDX-License-Identifier: Apache-2.0
#include "serve/client/prediction_client.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/io/http_fixture.h"
#include "tests/io/io_fixtures.h"
#include "tests/support/deaf_port.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kCloudPath[] = "/v1/projects/lockstep/models/m:predict";

PredictionServer server_at(const HttpFixture& fixture, std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
  return {.url = parse_server_url(fixture.url()).value(), .token = {}, .ca_file = {}, .timeout = timeout};
}

absl::Status refusal(const HttpReply& reply) {
  const HttpFixture fixture({{kCloudPath, reply}});
  return ask_for_predictions(server_at(fixture), {"m", ""}, "{}").status();
}

TEST(InstancesBody, HoldsTheInstancesAsTheyAreWritten) {
  const std::vector<std::string> instances = {"[0.10, 1E0]", "{\"inputs\": 2}"};
  EXPECT_EQ(instances_body(instances, ""), "{\"instances\": [[0.10, 1E0], {\"inputs\": 2}]}");
  EXPECT_EQ(instances_body(instances, "a \"b\""),
            "{\"instances\": [[0.10, 1E0], {\"inputs\": 2}], \"signature_name\": \"a \\\"b\\\"\"}");
}

TEST(PredictionClient, AsksCloudMlEnginesPathFirst) {
  HttpFixture fixture({{kCloudPath, {.body = "answer"}},
                       {"/v1/projects/lockstep/models/m/versions/v%201:predict", {.body = "of a version"}}});
  EXPECT_EQ(ask_for_predictions(server_at(fixture), {"m", ""}, "{}").value(), "answer");
  EXPECT_EQ(ask_for_predictions(server_at(fixture), {"m", "v 1"}, "{}").value(), "of a version");
  EXPECT_EQ(fixture.requests(), 2);
}

TEST(PredictionClient, AsksAServerOfTensorFlowServingInItsOwnWay) {
  HttpFixture fixture({{"/v1/models/m:predict", {.body = "newest"}},
                       {"/v1/models/m/versions/7:predict", {.body = "7"}},
                       {"/v1/models/m/labels/stable:predict", {.body = "stable"}},
                       {kCloudPath, {.status = 400, .body = R"({"error": "Malformed request: POST /v1/projects"})"}}});
  EXPECT_EQ(ask_for_predictions(server_at(fixture), {"m", ""}, "{}").value(), "newest");
  EXPECT_EQ(ask_for_predictions(server_at(fixture), {"m", "7"}, "{}").value(), "7");
  EXPECT_EQ(ask_for_predictions(server_at(fixture), {"m", "stable"}, "{\"a\": 1}").value(), "stable");
  EXPECT_EQ(fixture.requests(), 6);
}

TEST(PredictionClient, ToTryAgainIsAdvisedWhereThatHelps) {
  const auto cloud = [](const std::string& message) {
    return HttpReply{
        .status = 503,
        .body = fmt::format(R"({{"error": {{"code": 503, "message": "{}", "status": "UNAVAILABLE"}}}})", message)};
  };
  for (const HttpReply& reply : {cloud("the queue is full (at most 4 examples wait): try again later"),
                                 cloud("Latest(m): version 1 is in state LOADING: try again later"),
                                 HttpReply{.status = 503, .body = "<h1>Overloaded</h1>"}}) {
    EXPECT_THAT(message_of(refusal(reply)), HasSubstr("not ready: try again."));
  }
  const absl::Status broken = refusal(cloud(
      "Latest(m): version 1 did not load: /a/saved_model.pb: damaged in the registry: the file is missing; delete this "
      "version and create it again from its origin"));
  EXPECT_THAT(message_of(broken), AllOf(HasSubstr("delete this version"), HasSubstr("status 503. Another version"),
                                        Not(HasSubstr("try again"))));
}

TEST(PredictionClient, StepsInAPathAreNoNames) {
  HttpFixture fixture({});
  for (const PredictionTarget& target :
       {PredictionTarget{"..", ""}, PredictionTarget{".", ""}, PredictionTarget{"m", ".."}}) {
    const absl::Status refused = ask_for_predictions(server_at(fixture), target, "{}").status();
    EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
    EXPECT_THAT(message_of(refused), HasSubstr("a step in a path"));
  }
  EXPECT_EQ(fixture.requests(), 0);
}

TEST(PredictionClient, ErrorsOfAServerThatKnowsThePathAreItsAnswer) {
  for (const char* body : {R"({"error": {"code": 404, "message": "no model", "status": "NOT_FOUND"}})",
                           R"({"error": "Prediction failed: no"})"}) {
    HttpFixture fixture({{kCloudPath, {.status = 404, .body = body}}, {"/v1/models/m:predict", {.body = "other"}}});
    EXPECT_THAT(message_of(ask_for_predictions(server_at(fixture), {"m", ""}, "{}").status()),
                StartsWith(fmt::format("HTTP request failed. Response: {}\n{}{} answered with status 404. --model",
                                       body, fixture.url(), kCloudPath)));
    EXPECT_EQ(fixture.requests(), 1);
  }
}

TEST(PredictionClient, RefusalsEndInAWayOut) {
  EXPECT_THAT(message_of(refusal({.status = 401, .body = "{}"})),
              HasSubstr("status 401. The server wants a token, or another one"));
  EXPECT_THAT(message_of(refusal({.status = 413, .body = "{}"})), HasSubstr("send fewer instances"));
  EXPECT_THAT(message_of(refusal({.status = 503, .body = "{}"})), HasSubstr("try again"));
  EXPECT_THAT(message_of(refusal({.status = 302, .location = "/elsewhere"})),
              AllOf(HasSubstr("Response: (nothing)"), HasSubstr("Redirects are not followed")));
  EXPECT_THAT(message_of(refusal({.status = 500, .body = "<html>\n<h1>Oops</h1>\n</html>\n"})),
              HasSubstr("Response: <html>\n<h1>Oops</h1>\n</html>\nhttp://127.0.0.1:"));
  EXPECT_TRUE(absl::IsUnavailable(refusal({.status = 500})));
  EXPECT_TRUE(absl::IsInvalidArgument(refusal({.status = 204})));
}

TEST(PredictionClient, TellsWhenNothingUsableComes) {
  EXPECT_THAT(message_of(refusal({.raw = "220 mail.example.org ESMTP\r\n"})),
              AllOf(StartsWith("http://127.0.0.1:"), HasSubstr("no answer that can be used: ")));
  EXPECT_THAT(message_of(refusal({.body = "{\"pre", .claimed_length = 100})),
              HasSubstr("no answer that can be used: "));
  EXPECT_THAT(message_of(refusal({.claimed_length = 1'000'000'000'000})), HasSubstr("larger than 268435456 bytes"));
  const DeafPort deaf;
  const std::string url = deaf.url();
  const absl::Status nobody =
      ask_for_predictions({.url = parse_server_url(url).value(), .token = {}, .ca_file = {}}, {"m", ""}, "").status();
  EXPECT_THAT(message_of(nobody), AllOf(StartsWith("cannot reach " + url + ": "),
                                        HasSubstr("`lockstep serve --model_name m "), HasSubstr("--host")));
}

TEST(PredictionClient, TheTimeIsThatOfBothRequests) {
  const HttpFixture fixture({{"/v1/models/m:predict", {.stall = true}}});
  const auto begin = std::chrono::steady_clock::now();
  const auto answer = ask_for_predictions(server_at(fixture, std::chrono::seconds(1)), {"m", ""}, "{}");
  EXPECT_THAT(message_of(answer.status()), HasSubstr("gave no answer within 1 s; --timeout waits longer"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
  EXPECT_EQ(fixture.requests(), 2);
}

}  // namespace
}  // namespace lockstep
