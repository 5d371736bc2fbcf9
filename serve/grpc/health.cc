// SPDX-License-Identifier: Apache-2.0
#include "serve/grpc/health.h"

#include <fmt/format.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/support/byte_buffer.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "io/protobuf_bytes.h"
#include "serve/grpc/grpc_bytes.h"
#include "serve/grpc/grpc_calls.h"
#include "serve/grpc/proto/health.pb.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

absl::StatusOr<std::string> service_in(const std::string& bytes) {
  HealthCheckRequest request;
  if (!parse_protobuf(bytes, &request)) {
    return absl::InvalidArgumentError(
        fmt::format("{} bytes that are no grpc.health.v1.HealthCheckRequest", bytes.size()));
  }
  return request.service();
}

std::string response_of(int status) {
  HealthCheckResponse response;
  response.set_status(static_cast<HealthCheckResponse::ServingStatus>(status));
  return response.SerializeAsString();
}

absl::Status shutting_down() { return absl::UnavailableError("the server is shutting down"); }

}  // namespace

// Writes one message at a time. What is decided under the lock is done after it: the library may call back.
class WatchCall : public GrpcReactor, public WaitingCall, public std::enable_shared_from_this<WatchCall> {
 public:
  explicit WatchCall(Health& health) : health_(health) {}

  void start() {
    self_ = shared_from_this();
    health_.waiting_.add(self_);
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!health_.waiting_.remove(*this)) return;  // it has been given up
    absl::StatusOr<std::string> service = absl::InvalidArgumentError("the call ended without a message");
    if (ok) service = read_service();
    if (!service.ok()) return end(service.status());
    {
      const std::lock_guard lock(mutex_);
      service_ = *std::move(service);
    }
    tell();
  }

  void OnWriteDone(bool ok) override {
    {
      const std::lock_guard lock(mutex_);
      is_writing_ = false;
    }
    if (!ok) return end(absl::CancelledError("the client has gone"));
    tell();
  }

  void OnCancel() override { end(absl::CancelledError("the client has gone")); }

  void OnDone() override {
    health_.waiting_.remove(*this);
    {
      const std::lock_guard lock(health_.mutex_);
      health_.watches_.erase(self_);
    }
    self_.reset();  // and with it, often, this
  }

  void give_up(const absl::Status& why) override { end(annotate(why, kHealthWatchMethod)); }

  // Writes the state when it is another than was told, or ends the call when that has to be done.
  void tell() {
    std::optional<absl::Status> last;
    {
      const std::lock_guard lock(mutex_);
      if (is_writing_ || is_ended_) return;
      const int status = service_ ? health_.status_of(*service_) : told_;
      if (status == told_) {
        if (!ending_) return;
        is_ended_ = true;
        last = ending_;
      } else {
        told_ = status;
        is_writing_ = true;
        response_ = to_message(response_of(status));
      }
    }
    if (last) {
      Finish(to_grpc(*last));
    } else {
      StartWrite(&response_);
    }
  }

  // After what is being written, and the last change of the state if that can be told.
  void end(const absl::Status& status) {
    {
      const std::lock_guard lock(mutex_);
      if (!ending_) ending_ = status;
      if (absl::IsCancelled(status)) service_.reset();  // nobody is there to be told
    }
    tell();
  }

 private:
  absl::StatusOr<std::string> read_service() {
    const auto size = static_cast<int64_t>(request_.Length());
    if (size > health_.bounds_.max_message_bytes) {
      return absl::ResourceExhaustedError(
          fmt::format("a message of {} bytes, at most {} are taken", size, health_.bounds_.max_message_bytes));
    }
    LOCKSTEP_RETURN_IF_ERROR(health_.admit(self_));
    return service_in(to_string(request_));
  }

  Health& health_;
  std::shared_ptr<WatchCall> self_;  // until the library is done with it
  grpc::ByteBuffer request_, response_;
  std::mutex mutex_;  // guards what follows
  std::optional<std::string> service_;
  std::optional<absl::Status> ending_;
  int told_ = -1;
  bool is_writing_ = false, is_ended_ = false;
};

Health::Health(std::vector<std::string> services, const HealthBounds& bounds, WaitingCalls& waiting,
               std::function<bool()> is_ready)
    : services_(std::move(services)), bounds_(bounds), waiting_(waiting), is_ready_(std::move(is_ready)) {}

int Health::status_of(const std::string& service) const {
  if (!service.empty() && std::ranges::find(services_, service) == services_.end()) {
    return HealthCheckResponse::SERVICE_UNKNOWN;
  }
  bool is_stopped = false;
  {
    const std::lock_guard lock(mutex_);
    is_stopped = is_stopped_;
  }
  return !is_stopped && is_ready_() ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

absl::StatusOr<std::string> Health::check(const std::string& request) const {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string service, service_in(request));
  const int status = status_of(service);
  if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
    return absl::NotFoundError(fmt::format("no service of the name '{}' here", printable(service)));
  }
  return response_of(status);
}

GrpcReactor* Health::watch() {
  const auto call = std::make_shared<WatchCall>(*this);
  call->start();
  return call.get();
}

absl::Status Health::admit(const std::shared_ptr<WatchCall>& call) {
  const std::lock_guard lock(mutex_);
  if (is_stopped_) return shutting_down();
  if (watches_.size() >= static_cast<size_t>(bounds_.max_watches)) {
    return absl::ResourceExhaustedError(
        fmt::format("{} clients watch, the most that this server takes: ask with Check", bounds_.max_watches));
  }
  watches_.insert(call);
  return absl::OkStatus();
}

void Health::tell() {
  std::set<std::shared_ptr<WatchCall>> watches;
  {
    const std::lock_guard lock(mutex_);
    watches = watches_;
  }
  for (const auto& watch : watches) watch->tell();
}

size_t Health::watches() const {
  const std::lock_guard lock(mutex_);
  return watches_.size();
}

void Health::stop() {
  std::set<std::shared_ptr<WatchCall>> watches;
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
    watches = watches_;
  }
  for (const auto& watch : watches) watch->end(shutting_down());
}

}  // namespace lockstep
