// SPDX-License-Identifier: Apache-2.0
// The gRPC port of `lockstep serve`, as a program.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <chrono>

#include "serve/grpc/proto/health.grpc.pb.h"
#include "serve/grpc/proto/serving.grpc.pb.h"
#include "tests/serve/model_fixture.h"
#include "tests/serve/running_server.h"
#include "tests/support/run_program.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

namespace serving = tensorflow::serving;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ServeGrpc : public ::testing::Test {
 protected:
  ServeGrpc() { write_run(model_); }

  static auto channel(const RunningServer& server) {
    return grpc::CreateChannel(fmt::format("127.0.0.1:{}", server.grpc_port()), grpc::InsecureChannelCredentials());
  }
  static void bound(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  }

  const TmpDir directory_;
  const std::string model_ = directory_.file("model"), log_ = directory_.file("log");
};

TEST_F(ServeGrpc, AnswersUntilItIsStopped) {
  RunningServer server(model_, log_);
  ASSERT_GT(server.grpc_port(), 0) << server.log();
  const auto open = channel(server);
  grpc::health::v1::HealthCheckResponse health;
  {
    grpc::ClientContext context;
    bound(context);
    const auto status = grpc::health::v1::Health::NewStub(open)->Check(&context, {}, &health);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(health.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  }
  serving::PredictRequest request;
  request.mutable_model_spec()->set_name("m");
  auto& tensor = (*request.mutable_inputs())["inputs"];
  tensor.set_dtype(proto::DT_FLOAT);
  for (const int size : {2, 12}) tensor.mutable_tensor_shape()->add_dim()->set_size(size);
  tensor.add_float_val(0.25f);
  serving::PredictResponse response;
  grpc::ClientContext context;
  bound(context);
  const auto status = serving::PredictionService::NewStub(open)->Predict(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.outputs().at("classes").int64_val_size(), 2);
  EXPECT_EQ(server.metric(":tensorflow:serving:request_count{model_name=\"m\",status=\"OK\"}"), 1);
  EXPECT_EQ(server.metric("lockstep_serving_grpc_total{event=\"call\"}"), 2);
  // The client's open connection keeps nobody waiting.
  const auto asked = std::chrono::steady_clock::now();
  EXPECT_EQ(server.stop(), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - asked, std::chrono::seconds(4));
  EXPECT_THAT(server.log(), HasSubstr("Stopped; every request that had come in whole has been answered"));
}

TEST_F(ServeGrpc, AsksForTheTokenOfTheRestApi) {
  LOCKSTEP_CHECK(write_file_atomic(directory_.file("token"), "not-for-everyone\n").ok());
  RunningServer server(model_, log_, {"--auth_token_file", directory_.file("token")});
  const auto models = serving::ModelService::NewStub(channel(server));
  serving::GetModelStatusRequest request;
  request.mutable_model_spec()->set_name("m");
  serving::GetModelStatusResponse response;
  grpc::ClientContext stranger, friendly;
  bound(stranger);
  EXPECT_EQ(models->GetModelStatus(&stranger, request, &response).error_code(), grpc::UNAUTHENTICATED);
  bound(friendly);
  friendly.AddMetadata("authorization", "Bearer not-for-everyone");
  EXPECT_TRUE(models->GetModelStatus(&friendly, request, &response).ok());
  EXPECT_EQ(response.model_version_status_size(), 1);
}

TEST_F(ServeGrpc, SaysThatThePortIsTakenAndWhatToDo) {
  RunningServer server(model_, log_);
  const Outcome taken = run_shell(fmt::format("{} serve --port {} --rest_api_port 0 --model_base_path {} 2>&1",
                                              LOCKSTEP_PROGRAM, server.grpc_port(), model_));
  EXPECT_EQ(taken.exit_code, 1);
  EXPECT_THAT(taken.output, AllOf(HasSubstr(fmt::format("127.0.0.1 port {}", server.grpc_port())),
                                  HasSubstr("--port 0"), HasSubstr("--no_grpc")));
}

TEST_F(ServeGrpc, CanBeSwitchedOff) {
  const RunningServer server(model_, log_, {"--no_grpc"});
  EXPECT_GT(server.port(), 0);
  EXPECT_EQ(server.grpc_port(), 0);
  EXPECT_THAT(server.log(), testing::Not(HasSubstr("gRPC")));
}

}  // namespace
}  // namespace lockstep
