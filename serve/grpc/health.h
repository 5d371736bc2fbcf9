// SPDX-License-Identifier: Apache-2.0
// The standard health service (grpc.health.v1): SERVING or NOT_SERVING, the same for each service there is.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "serve/grpc/grpc_types.h"
#include "serve/grpc/waiting_calls.h"

namespace lockstep {

inline constexpr char kHealthCheckMethod[] = "/grpc.health.v1.Health/Check";
inline constexpr char kHealthWatchMethod[] = "/grpc.health.v1.Health/Watch";

class WatchCall;

struct HealthBounds {
  int max_watches = 1024;  // that have said what they watch
  int64_t max_message_bytes = 1024;
};

// Thread-safe. Outlives its calls.
class Health {
 public:
  // Of the services of these names and of "", the server as a whole. `waiting`, which outlives this, holds the watches
  // whose message has not come.
  Health(std::vector<std::string> services, const HealthBounds& bounds, WaitingCalls& waiting,
         std::function<bool()> is_ready);

  // A HealthCheckRequest to a HealthCheckResponse, both serialised. NotFound for a service that there is not.
  absl::StatusOr<std::string> check(const std::string& request) const;
  // A call that is told the state, and each change of it, until the client goes or stop().
  GrpcReactor* watch();
  // Tells those who watch when the state has changed. To be called often.
  void tell();
  // Tells them that nothing is served any more, and ends their calls.
  void stop();
  size_t watches() const;  // that are open

 private:
  friend class WatchCall;
  absl::Status admit(const std::shared_ptr<WatchCall>& call);
  int status_of(const std::string& service) const;  // a HealthCheckResponse::ServingStatus

  const std::vector<std::string> services_;
  const HealthBounds bounds_;
  WaitingCalls& waiting_;
  const std::function<bool()> is_ready_;
  mutable std::mutex mutex_;  // guards what follows
  bool is_stopped_ = false;
  std::set<std::shared_ptr<WatchCall>> watches_;
};

}  // namespace lockstep
