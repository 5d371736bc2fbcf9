// SPDX-License-Identifier: Apache-2.0
#include "serve/grpc/grpc_calls.h"

#include <fmt/format.h>
#include <grpc/grpc.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/support/byte_buffer.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "serve/grpc/grpc_bytes.h"

namespace lockstep {
namespace {

GrpcCalls::Clock::time_point deadline_of(const grpc::GenericCallbackServerContext& context,
                                         std::chrono::milliseconds most) {
  const auto now = GrpcCalls::Clock::now();
  const auto left = context.deadline() - std::chrono::system_clock::now();
  return now + std::min(std::chrono::duration_cast<GrpcCalls::Clock::duration>(left),
                        std::chrono::duration_cast<GrpcCalls::Clock::duration>(most));
}

class RefusedCall : public GrpcReactor {
 public:
  explicit RefusedCall(const absl::Status& status) { Finish(to_grpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

// Read, answer, end. Holds itself until the library is done with it, and is held by whoever still has to answer it.
class UnaryCall : public GrpcReactor, public WaitingCall, public std::enable_shared_from_this<UnaryCall> {
 public:
  UnaryCall(GrpcCalls& calls, grpc::GenericCallbackServerContext& context) : calls_(calls), call_(context.c_call()) {
    request_.method = context.method();
    request_.deadline = deadline_of(context, calls.bounds_.request_timeout);
    ++calls_.begun_;
    ++calls_.open_;
  }

  void start() {
    self_ = shared_from_this();
    calls_.waiting_.add(self_);
    StartRead(&message_);
  }

  void OnReadDone(bool ok) override {
    if (!calls_.waiting_.remove(*this)) return;  // it has been given up
    if (!ok) {
      return Finish(to_grpc(absl::InvalidArgumentError(
          fmt::format("{}: the call ended without a message, or with one of more than {} bytes", request_.method,
                      calls_.bounds_.max_message_bytes))));
    }
    if (const absl::Status status = reserve(static_cast<int64_t>(message_.Length())); !status.ok()) {
      ++calls_.refused_;
      return Finish(to_grpc(status));
    }
    request_.received = GrpcCalls::Clock::now();
    request_.body = to_string(message_);
    message_.Clear();
    calls_.handler_(std::move(request_),
                    [call = self_](absl::StatusOr<std::string> answer) { call->answer(std::move(answer)); });
  }

  void OnDone() override {
    {
      const std::lock_guard lock(mutex_);
      call_ = nullptr;
    }
    calls_.waiting_.remove(*this);
    release_buffer();
    --calls_.open_;
    self_.reset();  // and with it, often, this
  }

  void give_up(const absl::Status& why) override {
    if (!is_answered_) return Finish(to_grpc(annotate(why, request_.method)));
    // The client does not take what it asked for.
    grpc_call* call = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (call_ == nullptr) return;
      call = call_;
      grpc_call_ref(call);
    }
    grpc_call_cancel(call, nullptr);
    grpc_call_unref(call);
  }

 private:
  // Whether there is room for a message of this size to be answered.
  absl::Status reserve(int64_t size) {
    const GrpcCallBounds& bounds = calls_.bounds_;
    if (size > bounds.max_message_bytes) {
      return absl::ResourceExhaustedError(fmt::format("{}: a message of {} bytes, at most {} are taken",
                                                      request_.method, size, bounds.max_message_bytes));
    }
    if (++calls_.running_ > bounds.max_calls) {
      --calls_.running_;
      return absl::UnavailableError(
          fmt::format("{} calls are running, the most that this server takes: try again later", bounds.max_calls));
    }
    buffered_ = size;
    const int64_t all = calls_.buffered_bytes_ += size;
    if (all > bounds.max_buffered_bytes && all > size) {
      --calls_.running_;
      return absl::UnavailableError("the server has its hands full of large requests: try again later");
    }
    return absl::OkStatus();
  }

  void release_buffer() { calls_.buffered_bytes_ -= std::exchange(buffered_, 0); }

  void answer(absl::StatusOr<std::string> answer) {
    release_buffer();  // before the client can know that it is answered
    if (answer.ok()) message_ = to_message(*answer);
    is_answered_ = true;
    calls_.waiting_.add(self_);
    --calls_.running_;
    if (!answer.ok()) return Finish(to_grpc(answer.status()));
    StartWriteAndFinish(&message_, grpc::WriteOptions(), grpc::Status::OK);
  }

  GrpcCalls& calls_;
  std::shared_ptr<UnaryCall> self_;
  GrpcRequest request_;
  grpc::ByteBuffer message_;
  int64_t buffered_ = 0;
  bool is_answered_ = false;  // changes while nobody can give up the call
  std::mutex mutex_;          // guards what follows
  grpc_call* call_;           // null when the library is done with it
};

GrpcReactor* GrpcCalls::start(grpc::GenericCallbackServerContext& context) {
  const auto call = std::make_shared<UnaryCall>(*this, context);
  call->start();
  return call.get();
}

GrpcReactor* refuse_call(const absl::Status& status) { return new RefusedCall(status); }

}  // namespace lockstep
