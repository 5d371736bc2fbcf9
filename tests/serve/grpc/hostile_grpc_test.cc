// SPDX-License-Identifier: Apache-2.0
// The gRPC port of the whole program under clients that mean harm, while one that means none wants its answers.
// LOCKSTEP_LONG=1: much more of it.
#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "serve/grpc/proto/serving.grpc.pb.h"
#include "serve/http/listener.h"
#include "tests/serve/grpc/raw_http2.h"
#include "tests/serve/http/http_client.h"
#include "tests/serve/model_fixture.h"
#include "tests/serve/running_server.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

namespace serving = tensorflow::serving;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr char kPredict[] = "/tensorflow.serving.PredictionService/Predict";
constexpr char kCheck[] = "/grpc.health.v1.Health/Check";

std::unique_ptr<serving::PredictionService::Stub> new_client(int port) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  return serving::PredictionService::NewStub(
      grpc::CreateCustomChannel(fmt::format("127.0.0.1:{}", port), grpc::InsecureChannelCredentials(), arguments));
}

// Expects an answer, also where the server has to make room for the client first.
void expect_answer(serving::PredictionService::Stub& stub) {
  serving::PredictRequest request;
  request.mutable_model_spec()->set_name("m");
  auto& tensor = (*request.mutable_inputs())["inputs"];
  tensor.set_dtype(proto::DT_FLOAT);
  for (const int size : {2, 12}) tensor.mutable_tensor_shape()->add_dim()->set_size(size);
  tensor.add_float_val(0.25f);
  serving::PredictResponse response;
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + seconds(60));
  const grpc::Status status = stub.Predict(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.outputs().count("classes"), 1U);
}

// Asks again and again on one connection until it is destroyed.
class HonestClient {
 public:
  explicit HonestClient(int port) : stub_(new_client(port)) {
    expect_answer(*stub_);
    thread_ = std::thread([this] {
      for (; !stopping_; ++answers_) expect_answer(*stub_);
    });
  }
  ~HonestClient() {
    stopping_ = true;
    thread_.join();
  }
  HonestClient(const HonestClient&) = delete;
  HonestClient& operator=(const HonestClient&) = delete;

  void expect_more() const {
    const int before = answers_;
    const auto by = Clock::now() + seconds(60);
    while (answers_ < before + 20 && Clock::now() < by) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_GE(answers_, before + 20);
  }

 private:
  const std::unique_ptr<serving::PredictionService::Stub> stub_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> answers_{0};
  std::thread thread_;
};

class HostileGrpc : public ::testing::Test {
 protected:
  static constexpr int kMaxConnections = 100;

  HostileGrpc() {
    raise_descriptor_limit(4096);
    write_run(directory_.path() + "/model/1");
    server_ =
        std::make_unique<RunningServer>(directory_.path() + "/model", directory_.path() + "/log",
                                        std::vector<std::string>{"--max_connections", std::to_string(kMaxConnections)});
  }

  std::unique_ptr<HttpClient> connect() const { return std::make_unique<HttpClient>(server_->grpc_port()); }

  // More than the server has room for, none of which ever says all that it has to say.
  std::vector<std::unique_ptr<HttpClient>> hold_slow_clients() const {
    std::vector<std::unique_ptr<HttpClient>> clients;
    for (int i = 0; i < 2 * kMaxConnections; ++i) {
      clients.push_back(connect());
      if (i % 5 == 1) clients.back()->send(http2::preface().substr(0, 20));
      if (i % 5 == 2) clients.back()->send(http2::preface() + http2::heads(100, kCheck));
      if (i % 5 == 3) clients.back()->send(http2::preface() + http2::heads(100, kPredict));
      if (i % 5 == 4) clients.back()->send(http2::preface() + http2::head(1, kPredict).substr(0, 30));
    }
    return clients;
  }

  // Nothing said, garbage, garbage in HTTP/2, a call whose answer nobody takes.
  void open_and_drop(int count) const {
    for (int i = 0; i < count; ++i) {
      const auto client = connect();
      if (i % 4 == 1) client->send(std::string("\0\xff\x16 garbage\r\n", 13));
      if (i % 4 == 2) client->send(http2::preface() + std::string(1000, '\xff'));
      if (i % 4 == 3) {
        client->send(http2::preface(false) + http2::head(1, kCheck) + http2::message(1, "") + http2::head(3, kCheck) +
                     http2::message(3, std::string(500, '\xff')));
      }
      if (i % 3 == 0) client->reset();
    }
  }

  void expect_sound() const {
    EXPECT_LE(server_->metric("lockstep_serving_grpc_connections"), kMaxConnections);
    EXPECT_LT(server_->resident_bytes(), int64_t{512} << 20);
    EXPECT_TRUE(server_->is_running());
  }

  const int dropped_ = std::getenv("LOCKSTEP_LONG") != nullptr ? 10000 : 300;
  const TmpDir directory_;
  std::unique_ptr<RunningServer> server_;
};

TEST_F(HostileGrpc, ConnectionsThatComeGoAndStay) {
  const HonestClient honest(server_->grpc_port());
  const auto slow = hold_slow_clients();
  honest.expect_more();
  open_and_drop(dropped_);
  honest.expect_more();
  expect_sound();
  expect_answer(*new_client(server_->grpc_port()));
  EXPECT_GE(server_->metric("lockstep_serving_grpc_total{event=\"connection_turned_away\"}"), 1);
}

TEST_F(HostileGrpc, MessagesThatAreTooMuch) {
  auto honest = std::make_unique<HonestClient>(server_->grpc_port());
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < kMaxConnections / 2; ++i) {
    clients.push_back(connect());
    clients.back()->send(http2::preface());
    const char* const method = i % 2 == 0 ? kPredict : kCheck;
    for (uint32_t stream = 1; stream < 20; stream += 2) {
      clients.back()->send(http2::head(stream, method) + http2::message(stream, std::string(16000, 'x'), 1U << 30));
    }
  }
  honest->expect_more();
  expect_answer(*new_client(server_->grpc_port()));
  expect_sound();
  honest.reset();
  clients.clear();  // the stop waits for messages that have begun
  EXPECT_EQ(server_->stop(), 0) << server_->log();
}

}  // namespace
}  // namespace lockstep
