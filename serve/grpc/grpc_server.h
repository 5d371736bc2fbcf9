// SPDX-License-Identifier: Apache-2.0
// A gRPC server of unary methods and of the standard health service, with bounds on sizes, calls and times. A call is
// judged by its head, token and all, before its message is read; one that waits for its answer holds no thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "serve/grpc/grpc_message.h"

namespace lockstep {

struct GrpcServerOptions {
  std::string address = "127.0.0.1";  // numeric, IPv4 or IPv6
  int port = 0;                       // 0: any free one
  int64_t max_message_bytes = 64 << 20;
  int64_t max_buffered_bytes = 256 << 20;  // of messages on their way, all connections together
  // Beyond, the connection that has been silent longest makes room for the new one when that is so long or more; else
  // the new one is closed.
  int max_connections = 1024;
  std::chrono::milliseconds make_room_after{10000};
  int other_descriptors = 1280;  // that connections leave to the rest of the process
  int max_calls = 4096;          // whose message has come, at a time; beyond, Unavailable
  // Of which it is the client's turn, to send its message or to take the answer, at a time; beyond, the one that has
  // waited longest is ended. The rest of the calls has its place without regard to these.
  int max_waiting_calls = 4096;
  int max_calls_of_connection = 128;
  // Of health, which needs no token and takes none of the places above.
  int max_health_calls = 64;  // as both of the above
  int max_watches = 1024;     // that stay open; beyond, ResourceExhausted
  int64_t max_health_message_bytes = 1024;
  int max_metadata_bytes = 16 << 10;
  std::chrono::milliseconds request_timeout{30000};  // for a call, when the client wants no shorter one
  // From the head of a call to the end of its message, and for its client to take the answer.
  std::chrono::milliseconds message_timeout{30000};
  std::chrono::milliseconds health_message_timeout{5000};
  std::chrono::milliseconds handshake_timeout{10000};
  std::chrono::milliseconds idle_timeout{60000};      // of a connection without calls
  std::chrono::milliseconds connection_age{3600000};  // then clients are told to connect anew
  std::string tls_certificate = {}, tls_key = {};     // PEM files; both or none
  std::string bearer_token = {};                      // asked of every call but those of health, unless empty
  std::vector<std::string> health_services = {};      // that health is told of, besides "", the whole server
};

struct GrpcServerCounts {
  int64_t calls = 0;        // open now, but for those that watch health
  int64_t begun = 0;        // ever
  int64_t refused = 0;      // no token, no room, message too large
  int64_t late = 0;         // whose message did not come, or whose answer was not taken, in time
  int64_t made_room = 0;    // ended for others, which did not wait as long
  int64_t connections = 0;  // open now
  int64_t accepted = 0, turned_away = 0;
  int64_t connections_made_room = 0;  // broken off for new ones
};

// Thread-safe.
class GrpcServer {
 public:
  // Listens, and serves on threads of the library. `is_ready` is what health tells; it is called on any thread, often,
  // and must not block. The error names address and port, and who may be the cause.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> start(const GrpcServerOptions& options, GrpcHandler handler,
                                                           std::function<bool()> is_ready);
  virtual ~GrpcServer() = default;  // as stop(), with no time

  virtual int port() const = 0;
  virtual GrpcServerCounts counts() const = 0;
  // Refuses new connections and calls, lets those that run be answered within `bound`, then cancels them. Returns when
  // the handler has answered all of them, cancelled or not; it is not called any more then.
  virtual void stop(std::chrono::milliseconds bound) = 0;
};

}  // namespace lockstep
