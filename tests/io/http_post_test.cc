// SPDX-License-Identifier: Apache-2.0
#include "io/http_post.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "tests/io/http_fixture.h"
#include "tests/io/io_fixtures.h"
#include "tests/support/deaf_port.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Clock = std::chrono::steady_clock;

class HttpPost : public ::testing::Test {
 protected:
  HttpPost() {  // the machine's proxy is not to be asked for this machine
    for (const char* name : {"http_proxy", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"}) ::unsetenv(name);
  }
};

absl::Status status_of(const HttpReply& reply, HttpPostOptions options = {}) {
  const HttpFixture server({{"/", reply}});
  return http_post(server.url("/"), "{}", options).status();
}

TEST_F(HttpPost, SendsTheBodyAndReturnsWhateverIsAnswered) {
  HttpFixture server({{"/good", {.body = "yes"}}, {"/bad", {.status = 503, .body = "no"}}});
  const auto good = http_post(server.url("/good"), "{\"a\": 1}", {});
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->status, 200);
  EXPECT_EQ(good->body, "yes");
  const auto bad = http_post(server.url("/bad"), "", {});
  ASSERT_TRUE(bad.ok()) << bad.status();
  EXPECT_EQ(bad->status, 503);
  EXPECT_EQ(bad->body, "no");
  EXPECT_THAT(server.received(), ElementsAre(AllOf(StartsWith("POST /good HTTP/1.1\r\n"),
                                                   HasSubstr("\r\nContent-Type: application/json\r\n"),
                                                   EndsWith("\r\n\r\n{\"a\": 1}"), Not(HasSubstr("Authorization"))),
                                             StartsWith("POST /bad HTTP/1.1\r\n")));
}

TEST_F(HttpPost, ThePathIsAskedForAsItIs) {
  HttpFixture server({});
  ASSERT_TRUE(http_post(server.url("/a/../b/./c"), "{}", {}).ok());
  EXPECT_THAT(server.received(), ElementsAre(StartsWith("POST /a/../b/./c HTTP/1.1\r\n")));
}

TEST_F(HttpPost, LargeBodiesArriveWhole) {
  const std::string body = noise(3'000'000, 1);
  HttpFixture server({{"/", {.body = body}}});
  const auto answer = http_post(server.url("/"), body, {});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->body, body);
  ASSERT_EQ(server.received().size(), 1u);
  EXPECT_TRUE(server.received()[0].ends_with(body));
}

TEST_F(HttpPost, TheTokenGoesToTheNamedServerOnly) {
  HttpFixture other({});
  HttpFixture server({{"/", {.status = 307, .location = other.url("/")}}});
  const auto answer = http_post(server.url("/"), "{}", {.bearer_token = "open sesame"});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 307);
  EXPECT_THAT(server.received(), ElementsAre(HasSubstr("\r\nAuthorization: Bearer open sesame\r\n")));
  EXPECT_EQ(other.requests(), 0);
}

TEST_F(HttpPost, TellsWhyThereIsNoAnswer) {
  const DeafPort deaf;
  const auto nobody = http_post(deaf.url(), "{}", {});
  EXPECT_TRUE(absl::IsUnavailable(nobody.status())) << nobody.status();
  EXPECT_TRUE(absl::IsDataLoss(http_post("file:///etc/hostname", "{}", {}).status()));
}

TEST_F(HttpPost, AnswersThatAreNoneAreErrors) {
  EXPECT_TRUE(absl::IsDataLoss(status_of({.raw = "SSH-2.0-OpenSSH_9.2\r\n"})));
  EXPECT_TRUE(absl::IsDataLoss(status_of({.raw = "HTTP/1.1 banana\r\n\r\n"})));
  EXPECT_TRUE(absl::IsDataLoss(status_of({.raw = "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc"})));
  EXPECT_TRUE(absl::IsDataLoss(status_of({.body = "half", .claimed_length = 8})));
  EXPECT_TRUE(absl::IsDataLoss(status_of({.raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"})));
}

TEST_F(HttpPost, LargeAnswersAreRefusedAnnouncedOrNot) {
  const HttpPostOptions options{.max_answer_bytes = 1000};
  const std::string body(5000, 'x');
  for (const HttpReply& reply : {HttpReply{.body = body}, HttpReply{.claimed_length = 1'000'000'000'000},
                                 HttpReply{.raw = "HTTP/1.1 200 OK\r\n\r\n" + body}}) {
    const absl::Status status = status_of(reply, options);
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_THAT(message_of(status), HasSubstr("1000 bytes"));
  }
  EXPECT_TRUE(status_of({.body = std::string(1000, 'x')}, options).ok());
}

TEST_F(HttpPost, WaitsNoLongerThanItIsToldTo) {
  const auto begin = Clock::now();
  const absl::Status status = status_of({.stall = true}, {.timeout = milliseconds(200)});
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_GE(Clock::now() - begin, milliseconds(200));
  EXPECT_LT(Clock::now() - begin, seconds(10));
}

TEST_F(HttpPost, ProxyOfTheEnvironmentIsUsedUnlessItIsNotTo) {
  HttpFixture proxy({}), server({{"/", {.body = "direct"}}});
  ::setenv("http_proxy", proxy.url().c_str(), 1);
  const auto direct = http_post(server.url("/"), "{}", {.use_proxy = false});
  const auto through = http_post(server.url("/"), "{}", {.use_proxy = true});
  ::unsetenv("http_proxy");
  ASSERT_TRUE(direct.ok()) << direct.status();
  EXPECT_EQ(direct->body, "direct");
  ASSERT_TRUE(through.ok()) << through.status();
  EXPECT_EQ(through->status, 404);
  EXPECT_EQ(proxy.requests(), 1);
}

}  // namespace
}  // namespace lockstep
