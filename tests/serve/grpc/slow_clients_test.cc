// SPDX-License-Identifier: Apache-2.0
// Clients that do not say what they have begun to say, or do not listen, keep nobody out.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "io/protobuf_bytes.h"
#include "serve/grpc/health.h"
#include "serve/grpc/proto/health.grpc.pb.h"
#include "tests/serve/grpc/raw_client.h"
#include "tests/serve/grpc/raw_http2.h"
#include "tests/serve/http/http_client.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr char kToken[] = "for-friends";
constexpr int kCalls = 100;  // of one connection

GrpcServerOptions few_places() {
  GrpcServerOptions options;
  options.max_calls = 2;
  options.max_waiting_calls = 8;
  options.max_health_calls = 4;
  options.max_watches = 1;
  options.bearer_token = kToken;
  return options;
}

grpc::Status ask(RawClient& client, const std::string& body = "x") {
  return client
      .call(body, [](grpc::ClientContext& context) { context.AddMetadata("authorization", "Bearer for-friends"); })
      .status;
}

std::string request_of(const std::string& service) {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  return protobuf_bytes(request).value();
}

void begin_calls(HttpClient& client, const std::string& method, const std::string& token = "") {
  client.send(http2::preface() + http2::heads(kCalls, method, token));
}

TEST(SlowClients, HealthWithoutAMessageTakesNoPlaceOfOthers) {
  const auto server = serve(few_places());
  HttpClient slow(server->port());
  begin_calls(slow, kHealthCheckMethod);
  ASSERT_TRUE(soon([&] { return server->counts().made_room == kCalls - 4; })) << server->counts().made_room;
  RawClient client(server->port());
  EXPECT_TRUE(ask(client).ok());
  EXPECT_TRUE(client.call(request_of(""), {}, kHealthCheckMethod).status.ok());
}

TEST(SlowClients, CallsWithoutAMessageTakeNoPlaceOfThoseThatHaveOne) {
  const auto server = serve(few_places());
  HttpClient slow(server->port());
  begin_calls(slow, kMethod, kToken);
  ASSERT_TRUE(soon([&] { return server->counts().made_room == kCalls - 8; })) << server->counts().made_room;
  RawClient client(server->port());
  for (int i = 0; i < 20; ++i) {
    const grpc::Status status = ask(client);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
}

TEST(SlowClients, AnAnswerThatIsNotTakenTakesNoPlaceOfOthers) {
  GrpcServerOptions options = few_places();
  options.message_timeout = milliseconds(200);
  const auto server = serve(options);
  HttpClient deaf(server->port());
  deaf.send(http2::preface(false));
  for (uint32_t i = 0; i < 5; ++i) {
    deaf.send(http2::head(2 * i + 1, kMethod, kToken) + http2::message(2 * i + 1, "hello?"));
  }
  ASSERT_TRUE(soon([&] { return server->counts().begun == 5; }));
  RawClient client(server->port());
  EXPECT_TRUE(ask(client).ok());
  EXPECT_TRUE(soon([&] { return server->counts().calls == 0; }));
  EXPECT_GT(server->counts().late, 0);
  EXPECT_EQ(server->counts().late + server->counts().refused, 5);  // those that ran at the same time, if any
}

TEST(SlowClients, AWatchWithoutAMessageIsNone) {
  GrpcServerOptions options = few_places();
  options.health_message_timeout = milliseconds(50);
  const auto server = serve(options);
  HttpClient slow(server->port());
  begin_calls(slow, kHealthWatchMethod);
  ASSERT_TRUE(soon([&] { return server->counts().late + server->counts().made_room == kCalls; }));
  EXPECT_GE(server->counts().late, 4);
  const auto channel =
      grpc::CreateChannel(fmt::format("127.0.0.1:{}", server->port()), grpc::InsecureChannelCredentials());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + seconds(30));
  const auto watch = grpc::health::v1::Health::NewStub(channel)->Watch(&context, {});
  grpc::health::v1::HealthCheckResponse response;
  EXPECT_TRUE(watch->Read(&response)) << watch->Finish().error_message();
  context.TryCancel();
}

TEST(SlowClients, HealthTakesSmallMessagesAlone) {
  const auto server = serve(few_places());
  RawClient client(server->port());
  EXPECT_EQ(client.call(request_of(std::string(900, 'a')), {}, kHealthCheckMethod).status.error_code(),
            grpc::NOT_FOUND);
  for (const char* method : {kHealthCheckMethod, kHealthWatchMethod}) {
    const grpc::Status status = client.call(request_of(std::string(1025, 'a')), {}, method).status;
    EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED) << method;
    EXPECT_THAT(status.error_message(), HasSubstr("at most 1024"));
  }
}

TEST(SlowClients, HealthDoesNotHoldUpTheStop) {
  GrpcServerOptions options = few_places();
  options.health_message_timeout = seconds(60);
  const auto server = serve(options);
  HttpClient slow(server->port());
  slow.send(http2::preface() + http2::head(1, kHealthWatchMethod) + http2::head(3, kHealthCheckMethod));
  HttpClient deaf(server->port());
  deaf.send(http2::preface(false) + http2::head(1, kHealthWatchMethod) + http2::message(1, request_of("")));
  deaf.send(http2::head(3, kHealthCheckMethod) + http2::message(3, request_of("")));
  ASSERT_TRUE(soon([&] { return server->counts().begun == 2; }));
  const auto begin = std::chrono::steady_clock::now();
  server->stop(seconds(60));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(20));
}

}  // namespace
}  // namespace lockstep
