// SPDX-License-Identifier: Apache-2.0
// The standard health service, as load balancers ask it.
#include "serve/grpc/health.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <atomic>
#include <chrono>
#include <future>

#include "serve/grpc/grpc_server.h"
#include "serve/grpc/proto/health.grpc.pb.h"

namespace lockstep {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using std::chrono::seconds;
using ::testing::HasSubstr;

class HealthTest : public ::testing::Test {
 protected:
  HealthTest() { start({}); }

  void start(GrpcServerOptions options) {
    options.health_services = {"a.Service"};
    server_ = GrpcServer::start(
                  options, [](const GrpcRequest&, const GrpcRespond& respond) { respond(std::string()); },
                  [this] { return is_ready_.load(); })
                  .value();
    stub_ = grpc::health::v1::Health::NewStub(
        grpc::CreateChannel(fmt::format("127.0.0.1:{}", server_->port()), grpc::InsecureChannelCredentials()));
  }

  static void bound(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + seconds(30));
  }

  grpc::Status check(const std::string& service, HealthCheckResponse& response) {
    grpc::ClientContext context;
    bound(context);
    HealthCheckRequest request;
    request.set_service(service);
    return stub_->Check(&context, request, &response);
  }
  int state(const std::string& service) {
    HealthCheckResponse response;
    const grpc::Status status = check(service, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.status();
  }

  std::atomic<bool> is_ready_{false};
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<grpc::health::v1::Health::Stub> stub_;
};

// A client that watches.
class Watch {
 public:
  Watch(grpc::health::v1::Health::Stub& stub, const std::string& service) {
    context_.set_deadline(std::chrono::system_clock::now() + seconds(30));
    HealthCheckRequest request;
    request.set_service(service);
    reader_ = stub.Watch(&context_, request);
  }
  // -1 at the end.
  int next() {
    HealthCheckResponse response;
    return reader_->Read(&response) ? response.status() : -1;
  }
  grpc::Status finish() { return reader_->Finish(); }
  void cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<HealthCheckResponse>> reader_;
};

TEST_F(HealthTest, CheckTellsTheStateAtOnce) {
  for (const char* service : {"", "a.Service"}) {
    is_ready_ = false;
    EXPECT_EQ(state(service), HealthCheckResponse::NOT_SERVING);
    is_ready_ = true;
    EXPECT_EQ(state(service), HealthCheckResponse::SERVING);
  }
}

TEST_F(HealthTest, CheckOfAnotherServiceIsNotFound) {
  HealthCheckResponse response;
  const grpc::Status status = check("b.Service", response);
  EXPECT_EQ(status.error_code(), grpc::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("'b.Service'"));
}

TEST_F(HealthTest, NeedsNoToken) {
  GrpcServerOptions options;
  options.bearer_token = "for-friends";
  start(options);
  EXPECT_EQ(state(""), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Watch(*stub_, "").next(), HealthCheckResponse::NOT_SERVING);
}

TEST_F(HealthTest, WatchTellsEachChange) {
  Watch watch(*stub_, "a.Service");
  EXPECT_EQ(watch.next(), HealthCheckResponse::NOT_SERVING);
  for (int i = 0; i < 3; ++i) {
    is_ready_ = true;
    EXPECT_EQ(watch.next(), HealthCheckResponse::SERVING);
    is_ready_ = false;
    EXPECT_EQ(watch.next(), HealthCheckResponse::NOT_SERVING);
  }
  watch.cancel();
  EXPECT_EQ(watch.next(), -1);
  EXPECT_EQ(watch.finish().error_code(), grpc::CANCELLED);
}

TEST_F(HealthTest, WatchOfAnotherServiceStaysOpen) {
  Watch watch(*stub_, "b.Service");
  EXPECT_EQ(watch.next(), HealthCheckResponse::SERVICE_UNKNOWN);
  server_->stop(seconds(30));
  EXPECT_EQ(watch.next(), -1);
}

TEST_F(HealthTest, StopTellsThoseWhoWatchAndLetsThemGo) {
  is_ready_ = true;
  Watch watch(*stub_, "");
  EXPECT_EQ(watch.next(), HealthCheckResponse::SERVING);
  auto stopped = std::async(std::launch::async, [&] { server_->stop(seconds(30)); });
  EXPECT_EQ(watch.next(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(watch.next(), -1);
  EXPECT_EQ(watch.finish().error_code(), grpc::UNAVAILABLE);
  // Well before the bound, which is as long as a client could watch.
  EXPECT_EQ(stopped.wait_for(seconds(20)), std::future_status::ready);
}

TEST_F(HealthTest, WatchesAreBounded) {
  GrpcServerOptions options;
  options.max_watches = 1;
  start(options);
  Watch first(*stub_, "");
  EXPECT_EQ(first.next(), HealthCheckResponse::NOT_SERVING);
  Watch second(*stub_, "");
  EXPECT_EQ(second.next(), -1);
  EXPECT_EQ(second.finish().error_code(), grpc::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace lockstep
