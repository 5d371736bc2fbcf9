// SPDX-License-Identifier: Apache-2.0
// The unary calls of a server: bounds on their number, their bytes and the time that their messages take.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>

#include "serve/grpc/grpc_message.h"
#include "serve/grpc/grpc_server.h"
#include "serve/grpc/grpc_types.h"

namespace lockstep {

class UnaryCall;

// Thread-safe. Outlives its calls.
class GrpcCalls {
 public:
  using Clock = std::chrono::steady_clock;

  GrpcCalls(const GrpcServerOptions& options, GrpcHandler handler) : options_(options), handler_(std::move(handler)) {}

  // The call that `context` is the head of. Reads its message, has the handler answer it, and ends it.
  GrpcReactor* start(grpc::GenericCallbackServerContext& context);
  // Ends the calls whose messages did not come in time; to be called often.
  void end_late();

  int64_t begun() const { return begun_; }
  int64_t open() const { return open_; }
  int64_t late() const { return late_; }

 private:
  friend class UnaryCall;
  struct Awaited {
    Clock::time_point by;
    std::shared_ptr<UnaryCall> call;
  };

  const GrpcServerOptions& options_;
  const GrpcHandler handler_;
  std::atomic<int64_t> begun_{0}, open_{0}, late_{0}, buffered_bytes_{0};
  std::mutex mutex_;            // guards what follows
  std::list<Awaited> awaited_;  // whose message has not come; in the order of `by`
};

// A call that ends with this error at once.
GrpcReactor* refuse_call(const absl::Status& status);

}  // namespace lockstep
