// SPDX-License-Identifier: Apache-2.0
// The unary calls of a server: bounds on their number, their bytes and the time that their clients take.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <utility>

#include "serve/grpc/grpc_message.h"
#include "serve/grpc/grpc_server.h"
#include "serve/grpc/grpc_types.h"
#include "serve/grpc/waiting_calls.h"

namespace lockstep {

class UnaryCall;

struct GrpcCallBounds {
  int max_calls = 0;  // that run: whose message has come, and which have no answer yet
  int64_t max_message_bytes = 0, max_buffered_bytes = 0;
  std::chrono::milliseconds request_timeout{0};
};

// Thread-safe. Outlives its calls.
class GrpcCalls {
 public:
  using Clock = std::chrono::steady_clock;

  // `waiting`, which outlives this, holds those of which it is the client's turn.
  GrpcCalls(const GrpcCallBounds& bounds, WaitingCalls& waiting, GrpcHandler handler)
      : bounds_(bounds), waiting_(waiting), handler_(std::move(handler)) {}

  // The call that `context` is the head of. Reads its message, has the handler answer it, and ends it.
  GrpcReactor* start(grpc::GenericCallbackServerContext& context);

  int64_t begun() const { return begun_; }
  int64_t open() const { return open_; }        // from the head to the end
  int64_t running() const { return running_; }  // that the handler has to answer
  int64_t refused() const { return refused_; }  // for what was running, or for the size of the message

 private:
  friend class UnaryCall;

  const GrpcCallBounds bounds_;
  WaitingCalls& waiting_;
  const GrpcHandler handler_;
  std::atomic<int64_t> begun_{0}, open_{0}, running_{0}, refused_{0}, buffered_bytes_{0};
};

// A call that ends with this error at once.
GrpcReactor* refuse_call(const absl::Status& status);

}  // namespace lockstep
