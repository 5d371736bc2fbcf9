// SPDX-License-Identifier: Apache-2.0
// The server with a handler that says what was asked, and clients of all kinds.
#include "serve/grpc/grpc_server.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>

#include "tests/serve/grpc/raw_client.h"
#include "tests/serve/http/http_client.h"
#include "tests/serve/tls_identity.h"
#include "tests/support/fault_file.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

// A handler whose calls wait until they are let go.
class Gate {
 public:
  GrpcHandler handler() {
    return [this](const GrpcRequest&, GrpcRespond respond) {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(respond));
      changed_.notify_all();
    };
  }
  void wait_for(size_t calls) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, seconds(30), [&] { return waiting_.size() >= calls; }));
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    for (const GrpcRespond& respond : waiting_) respond(std::string("late but there"));
    waiting_.clear();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<GrpcRespond> waiting_;
};

TEST(GrpcServer, CarriesMessagesOfAnyBytes) {
  const auto server = serve();
  RawClient client(server->port());
  const std::string bytes("\0\xff\n", 3);
  for (const std::string& body : {std::string(), bytes, std::string(1000, 'x')}) {
    const RawAnswer outcome = client.call(body);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
    EXPECT_EQ(outcome.body, std::string(kMethod) + ":" + body);
  }
  EXPECT_EQ(server->counts().begun, 3);
  EXPECT_EQ(server->counts().accepted, 1);
}

TEST(GrpcServer, CodesAndTextsOfErrorsArrive) {
  const auto server = serve({}, [](const GrpcRequest& request, const GrpcRespond& respond) {
    respond(absl::Status(static_cast<absl::StatusCode>(std::stoi(request.body)), "größer " + request.body));
  });
  RawClient client(server->port());
  for (int code = 1; code <= 16; ++code) {
    const grpc::Status status = client.call(std::to_string(code)).status;
    EXPECT_EQ(status.error_code(), code);
    EXPECT_EQ(status.error_message(), "größer " + std::to_string(code));
  }
}

TEST(GrpcServer, ALongErrorIsCutBetweenCharacters) {
  std::string text;
  while (text.size() < 100000) text += "ü";
  const auto server = serve(
      {}, [&](const GrpcRequest&, const GrpcRespond& respond) { respond(absl::InvalidArgumentError("x" + text)); });
  const grpc::Status status = RawClient(server->port()).call("").status;
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), testing::StartsWith("xüü"));
  EXPECT_TRUE(status.error_message().ends_with("ü …"));
  EXPECT_LT(status.error_message().size(), 2100u);
}

TEST(GrpcServer, MessagesUpToTheBoundAreTaken) {
  GrpcServerOptions options;
  options.max_message_bytes = 8 << 20;
  const auto server = serve(options);
  RawClient client(server->port());
  const std::string body(8 << 20, 'b');
  const RawAnswer outcome = client.call(body);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.body.size(), body.size() + sizeof(kMethod));
  const grpc::Status refused = client.call(body + "1").status;
  EXPECT_EQ(refused.error_code(), grpc::RESOURCE_EXHAUSTED) << refused.error_message();
  EXPECT_TRUE(client.call("small again").status.ok());
}

TEST(GrpcServer, CompressedMessagesAreRefused) {
  const auto server = serve();
  RawClient client(server->port());
  const grpc::Status status =
      client
          .call(std::string(100000, 'z'),
                [](grpc::ClientContext& context) { context.set_compression_algorithm(GRPC_COMPRESS_GZIP); })
          .status;
  EXPECT_EQ(status.error_code(), grpc::UNIMPLEMENTED) << status.error_message();
  EXPECT_TRUE(client.call("plain").status.ok());
}

TEST(GrpcServer, TheClientsDeadlineIsHandedOn) {
  GrpcServerOptions options;
  options.request_timeout = seconds(10);
  milliseconds left{0};
  const auto server = serve(options, [&](const GrpcRequest& request, const GrpcRespond& respond) {
    left = std::chrono::duration_cast<milliseconds>(request.deadline - request.received);
    respond(std::string());
  });
  RawClient client(server->port());
  ASSERT_TRUE(client
                  .call("",
                        [](grpc::ClientContext& context) {
                          context.set_deadline(std::chrono::system_clock::now() + seconds(5));
                        })
                  .status.ok());
  EXPECT_THAT(left.count(), AllOf(testing::Gt(1000), testing::Le(5500)));
  ASSERT_TRUE(client.call("").status.ok());  // which would wait longer than the server does
  EXPECT_THAT(left.count(), AllOf(testing::Gt(5500), testing::Le(10000)));
}

TEST(GrpcServer, ACallThatIsNotAnsweredInTimeEndsForItsClient) {
  Gate gate;
  const auto server = serve({}, gate.handler());
  const grpc::Status status = RawClient(server->port())
                                  .call("",
                                        [](grpc::ClientContext& context) {
                                          context.set_deadline(std::chrono::system_clock::now() + milliseconds(100));
                                        })
                                  .status;
  EXPECT_EQ(status.error_code(), grpc::DEADLINE_EXCEEDED);
  gate.let_go();
}

TEST(GrpcServer, AMessageThatDoesNotComeIsNotWaitedForLong) {
  GrpcServerOptions options;
  options.message_timeout = milliseconds(50);
  const auto server = serve(options);
  const grpc::Status status = RawClient(server->port()).call_without_message();
  EXPECT_EQ(status.error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(), HasSubstr("no message within 50 ms"));
  EXPECT_EQ(server->counts().late, 1);
}

TEST(GrpcServer, AsksForItsToken) {
  GrpcServerOptions options;
  options.bearer_token = "for-friends";
  std::atomic<int> handled{0};
  const auto server = serve(options, [&](const GrpcRequest& request, const GrpcRespond& respond) {
    ++handled;
    echo(request, respond);
  });
  RawClient client(server->port());
  const auto with = [&](const std::string& header) {
    return client.call("x", [&](grpc::ClientContext& context) { context.AddMetadata("authorization", header); }).status;
  };
  EXPECT_EQ(client.call("x").status.error_code(), grpc::UNAUTHENTICATED);
  EXPECT_THAT(client.call("x").status.error_message(), HasSubstr("authorization: Bearer TOKEN"));
  EXPECT_EQ(with("Bearer for-friendS").error_code(), grpc::UNAUTHENTICATED);
  EXPECT_EQ(with("Bearer for-friends ").error_code(), grpc::UNAUTHENTICATED);
  EXPECT_EQ(with("for-friends").error_code(), grpc::UNAUTHENTICATED);
  EXPECT_EQ(handled, 0);
  EXPECT_TRUE(with("Bearer for-friends").ok());
  EXPECT_TRUE(with("bearer for-friends").ok());
  EXPECT_EQ(server->counts().refused, 5);
}

TEST(GrpcServer, TooManyCallsAreUnavailable) {
  Gate gate;
  GrpcServerOptions options;
  options.max_calls = 2;
  const auto server = serve(options, gate.handler());
  RawClient client(server->port());
  std::vector<std::future<RawAnswer>> running;
  for (int i = 0; i < 2; ++i) running.push_back(std::async(std::launch::async, [&] { return client.call(""); }));
  gate.wait_for(2);
  const grpc::Status status = client.call("").status;
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("2 calls are running"));
  gate.let_go();
  for (auto& outcome : running) EXPECT_TRUE(outcome.get().status.ok());
}

TEST(GrpcServer, LargeMessagesTogetherAreBounded) {
  Gate gate;
  GrpcServerOptions options;
  options.max_buffered_bytes = 1500;
  const auto server = serve(options, gate.handler());
  RawClient client(server->port());
  auto first = std::async(std::launch::async, [&] { return client.call(std::string(1000, '1')); });
  gate.wait_for(1);
  EXPECT_EQ(client.call(std::string(1000, '2')).status.error_code(), grpc::UNAVAILABLE);
  gate.let_go();
  EXPECT_TRUE(first.get().status.ok());
  // Alone, one of any size is taken.
  auto alone = std::async(std::launch::async, [&] { return client.call(std::string(2000, '3')); });
  gate.wait_for(1);
  gate.let_go();
  EXPECT_TRUE(alone.get().status.ok());
}

int open_descriptors() {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

TEST(GrpcServer, BytesThatAreNoHttp2AreNoDanger) {
  const auto server = serve();
  ASSERT_TRUE(RawClient(server->port()).call("whatever is opened once is open now").status.ok());
  const int before = open_descriptors();
  for (int round = 0; round < 25; ++round) {
    for (const std::string& bytes :
         {std::string("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff"),
          std::string(100000, '\xff'), std::string()}) {
      HttpClient client(server->port());
      client.send(bytes);
      client.reset();
    }
  }
  EXPECT_TRUE(RawClient(server->port()).call("still there").status.ok());
  EXPECT_TRUE(soon([&] { return open_descriptors() <= before + 5; })) << open_descriptors() << " before: " << before;
}

TEST(GrpcServer, ConnectionsAreBounded) {
  GrpcServerOptions options;
  options.max_connections = 20;
  const auto server = serve(options);
  constexpr int kClients = 200;
  for (int round = 0; round < 3; ++round) {
    std::vector<std::unique_ptr<HttpClient>> idle;
    for (int i = 1; i <= kClients; ++i) {
      idle.push_back(std::make_unique<HttpClient>(server->port()));
      ASSERT_TRUE(soon([&] { return server->counts().accepted + server->counts().turned_away >= i; }));
      EXPECT_LE(server->counts().connections, options.max_connections);
    }
    EXPECT_TRUE(soon([&] {
      return server->counts().turned_away == (round + 1) * (kClients - options.max_connections);
    })) << server->counts().turned_away;
    EXPECT_EQ(server->counts().accepted, (round + 1) * options.max_connections);
    // Ended in either way, their places are free again.
    for (auto& client : idle) {
      if (round == 0) client->reset();
    }
    idle.clear();
    ASSERT_TRUE(soon([&] { return server->counts().connections == 0; }));
  }
  EXPECT_TRUE(RawClient(server->port()).call("room again").status.ok());
}

TEST(GrpcServer, TheMostSilentConnectionMakesRoom) {
  GrpcServerOptions options;
  options.max_connections = 3;
  options.make_room_after = milliseconds(100);
  const auto server = serve(options);
  RawClient first(server->port());
  ASSERT_TRUE(first.call("not silent").status.ok());
  std::vector<std::unique_ptr<HttpClient>> idle;
  for (int i = 0; i < 2; ++i) idle.push_back(std::make_unique<HttpClient>(server->port()));
  EXPECT_TRUE(soon([&] { return server->counts().connections == 3; }));
  EXPECT_TRUE(soon([&] {
    first.call("not silent");
    return RawClient(server->port()).call("room for one more").status.ok();
  }));
  EXPECT_GE(server->counts().connections_made_room, 1);
  EXPECT_LE(server->counts().connections, 3);
}

TEST(GrpcServer, SaysWhoHasThePort) {
  const auto server = serve();
  GrpcServerOptions options;
  options.port = server->port();
  const auto second = GrpcServer::start(options, echo, [] { return true; });
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr(fmt::format("127.0.0.1 port {}", server->port())), HasSubstr("choose another port")));
  options.address = "nowhere";
  EXPECT_EQ(GrpcServer::start(options, echo, [] { return true; }).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(GrpcServer, SpeaksTls) {
  const TmpDir directory;
  GrpcServerOptions options;
  options.tls_certificate = directory.file("certificate.pem");
  options.tls_key = directory.file("key.pem");
  write_identity(options.tls_certificate, options.tls_key);
  const auto server = serve(options);
  grpc::SslCredentialsOptions trusted;
  trusted.pem_root_certs = slurp(options.tls_certificate);
  const RawAnswer outcome = RawClient(server->port(), grpc::SslCredentials(trusted), "localhost").call("secret");
  EXPECT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.body, std::string(kMethod) + ":secret");
  EXPECT_EQ(RawClient(server->port()).call("open").status.error_code(), grpc::UNAVAILABLE);

  options.tls_key = options.tls_certificate;
  EXPECT_THAT(std::string(GrpcServer::start(options, echo, [] { return true; }).status().message()),
              HasSubstr("cannot read the key"));
}

TEST(GrpcServer, StopWaitsForCallsThatRun) {
  Gate gate;
  const auto server = serve({}, gate.handler());
  RawClient client(server->port());
  auto running = std::async(std::launch::async, [&] { return client.call(""); });
  gate.wait_for(1);
  auto stopped = std::async(std::launch::async, [&] { server->stop(seconds(30)); });
  // Refused while the first one still runs.
  grpc::Status refused;
  for (int i = 0; i < 1000 && refused.error_code() != grpc::UNAVAILABLE; ++i) {
    refused = RawClient(server->port())
                  .call("",
                        [](grpc::ClientContext& context) {
                          context.set_deadline(std::chrono::system_clock::now() + milliseconds(500));
                        })
                  .status;
  }
  EXPECT_EQ(refused.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(stopped.wait_for(milliseconds(0)), std::future_status::timeout);
  gate.let_go();
  const RawAnswer outcome = running.get();
  EXPECT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.body, "late but there");
  EXPECT_EQ(stopped.wait_for(seconds(30)), std::future_status::ready);
}

TEST(GrpcServer, StopCancelsWhatDoesNotEndInTime) {
  Gate gate;
  const auto server = serve({}, gate.handler());
  RawClient client(server->port());
  auto running = std::async(std::launch::async, [&] { return client.call(""); });
  gate.wait_for(1);
  auto stopped = std::async(std::launch::async, [&] { server->stop(milliseconds(20)); });
  EXPECT_THAT(running.get().status.error_code(), AnyOf(grpc::CANCELLED, grpc::UNAVAILABLE));
  gate.let_go();
  EXPECT_EQ(stopped.wait_for(seconds(30)), std::future_status::ready);
}

}  // namespace
}  // namespace lockstep
