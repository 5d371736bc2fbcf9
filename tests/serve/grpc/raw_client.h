// SPDX-License-Identifier: Apache-2.0
// A server that says what was asked, and a client that knows nothing of messages. Sources include before it, for no
// header may, grpcpp/{create_channel,generic/generic_stub,security/credentials,support/byte_buffer}.h.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "serve/grpc/grpc_bytes.h"
#include "serve/grpc/grpc_server.h"
#include "tests/support/soon.h"

namespace lockstep {

inline constexpr char kMethod[] = "/echo.Service/Echo";

inline void echo(const GrpcRequest& request, const GrpcRespond& respond) {
  respond(request.method + ":" + request.body);
}

inline std::unique_ptr<GrpcServer> serve(const GrpcServerOptions& options = {}, GrpcHandler handler = echo) {
  return GrpcServer::start(options, std::move(handler), [] { return true; }).value();
}

struct RawAnswer {
  grpc::Status status;
  std::string body;
};

class RawClient {
 public:
  explicit RawClient(int port,
                     const std::shared_ptr<grpc::ChannelCredentials>& credentials = grpc::InsecureChannelCredentials(),
                     const std::string& name = "") {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
    if (!name.empty()) arguments.SetSslTargetNameOverride(name);
    channel_ = grpc::CreateCustomChannel(fmt::format("127.0.0.1:{}", port), credentials, arguments);
    stub_ = std::make_unique<grpc::GenericStub>(channel_);
  }

  using Prepare = std::function<void(grpc::ClientContext&)>;
  RawAnswer call(const std::string& body, const Prepare& prepare = {}, const std::string& method = kMethod) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    if (prepare) prepare(context);
    const grpc::ByteBuffer request = to_message(body);
    grpc::ByteBuffer response;
    std::promise<grpc::Status> done;
    stub_->UnaryCall(&context, method, {}, &request, &response,
                     [&](const grpc::Status& status) { done.set_value(status); });
    const grpc::Status status = done.get_future().get();
    return {status, status.ok() ? to_string(response) : ""};
  }

  // A call whose message never comes.
  grpc::Status call_without_message() {
    struct Silent : grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
      void OnDone(const grpc::Status& status) override { done.set_value(status); }
      std::promise<grpc::Status> done;
    } silent;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    stub_->PrepareBidiStreamingCall(&context, kMethod, {}, &silent);
    silent.AddHold();
    silent.StartCall();
    silent.RemoveHold();
    return silent.done.get_future().get();
  }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<grpc::GenericStub> stub_;
};

}  // namespace lockstep
