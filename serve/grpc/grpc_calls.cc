// SPDX-License-Identifier: Apache-2.0
#include "serve/grpc/grpc_calls.h"

#include <fmt/format.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/support/byte_buffer.h>

#include <algorithm>
#include <utility>
#include <vector>

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
class UnaryCall : public GrpcReactor, public std::enable_shared_from_this<UnaryCall> {
 public:
  UnaryCall(GrpcCalls& calls, const grpc::GenericCallbackServerContext& context) : calls_(calls) {
    request_.method = context.method();
    request_.deadline = deadline_of(context, calls.options_.request_timeout);
    ++calls_.begun_;
    ++calls_.open_;
  }

  void start() {
    self_ = shared_from_this();
    {
      const std::lock_guard lock(calls_.mutex_);
      calls_.awaited_.push_back({GrpcCalls::Clock::now() + calls_.options_.message_timeout, self_});
      place_ = std::prev(calls_.awaited_.end());
    }
    StartRead(&message_);
  }

  void OnReadDone(bool ok) override {
    if (!take_from_awaited()) return;  // it was late, and has been ended
    if (!ok) {
      return Finish(to_grpc(absl::InvalidArgumentError(
          fmt::format("{}: the call ended without a message, or with one of more than {} bytes", request_.method,
                      calls_.options_.max_message_bytes))));
    }
    const auto size = static_cast<int64_t>(message_.Length());
    buffered_ = size;
    const int64_t all = calls_.buffered_bytes_ += size;
    if (all > calls_.options_.max_buffered_bytes && all > size) {
      return Finish(
          to_grpc(absl::UnavailableError("the server has its hands full of large requests: try again later")));
    }
    request_.received = GrpcCalls::Clock::now();
    request_.body = to_string(message_);
    message_.Clear();
    calls_.handler_(std::move(request_),
                    [call = self_](absl::StatusOr<std::string> answer) { call->answer(std::move(answer)); });
  }

  void OnDone() override {
    release_buffer();
    --calls_.open_;
    self_.reset();  // and with it, often, this
  }

  void end_late() {
    Finish(to_grpc(absl::DeadlineExceededError(
        fmt::format("{}: no message within {} ms", request_.method, calls_.options_.message_timeout.count()))));
  }

 private:
  friend class GrpcCalls;

  bool take_from_awaited() {
    const std::lock_guard lock(calls_.mutex_);
    if (!is_awaited_) return false;
    is_awaited_ = false;
    calls_.awaited_.erase(place_);
    return true;
  }

  void release_buffer() { calls_.buffered_bytes_ -= std::exchange(buffered_, 0); }

  void answer(absl::StatusOr<std::string> answer) {
    release_buffer();  // before the client can know that it is answered
    if (!answer.ok()) return Finish(to_grpc(answer.status()));
    message_ = to_message(*answer);
    StartWriteAndFinish(&message_, grpc::WriteOptions(), grpc::Status::OK);
  }

  GrpcCalls& calls_;
  std::shared_ptr<UnaryCall> self_;
  GrpcRequest request_;
  grpc::ByteBuffer message_;
  int64_t buffered_ = 0;
  // Guarded by the mutex of the calls:
  bool is_awaited_ = true;
  std::list<GrpcCalls::Awaited>::iterator place_;
};

GrpcReactor* GrpcCalls::start(grpc::GenericCallbackServerContext& context) {
  if (open_ >= options_.max_calls) {
    return refuse_call(absl::UnavailableError(
        fmt::format("{} calls are running, the most that this server takes: try again later", options_.max_calls)));
  }
  const auto call = std::make_shared<UnaryCall>(*this, context);
  call->start();
  return call.get();
}

void GrpcCalls::end_late() {
  std::vector<std::shared_ptr<UnaryCall>> late;
  {
    const std::lock_guard lock(mutex_);
    const Clock::time_point now = Clock::now();
    while (!awaited_.empty() && awaited_.front().by <= now) {
      awaited_.front().call->is_awaited_ = false;
      late.push_back(std::move(awaited_.front().call));
      awaited_.pop_front();
    }
  }
  late_ += static_cast<int64_t>(late.size());
  for (const auto& call : late) call->end_late();
}

GrpcReactor* refuse_call(const absl::Status& status) { return new RefusedCall(status); }

}  // namespace lockstep
