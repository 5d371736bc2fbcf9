// SPDX-License-Identifier: Apache-2.0
// Accepts the connections of a gRPC server: the library's own way gives up for good when descriptors run out, and takes
// as many as there are.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "core/base/status.h"
#include "serve/grpc/live_connections.h"
#include "serve/http/listener.h"

namespace lockstep {

class GrpcListener {
 public:
  struct Settings {
    std::string address;
    int port = 0;
    int max_connections = 0, other_descriptors = 0;  // as of GrpcServerOptions
    std::chrono::milliseconds make_room_after{0};    // the same
    std::function<void(int socket)> take;            // owns the socket from then on
    std::function<void()> tick;                      // called every now and then, at least ten times a second
  };

  static absl::StatusOr<std::unique_ptr<GrpcListener>> open(Settings settings);
  ~GrpcListener();  // as stop()

  // Accepts, on a thread of its own.
  void start();
  // Clients are refused from here on. `take` and `tick` are not called any more.
  void stop();

  int port() const { return port_; }
  int64_t connections() const { return connections_.open(); }
  int64_t made_room() const { return connections_.made_room(); }
  int64_t accepted() const { return accepted_; }
  int64_t turned_away() const { return turned_away_; }

 private:
  explicit GrpcListener(Settings settings)
      : settings_(std::move(settings)), connections_(settings_.max_connections, settings_.make_room_after) {}
  void run();
  void accept();

  const Settings settings_;
  LiveConnections connections_;
  std::unique_ptr<Listener> listener_;
  int port_ = 0;
  int most_descriptor_ = 0;  // a connection with a higher number is turned away
  int wake_ = -1;            // an eventfd
  std::atomic<bool> is_stopping_{false};
  std::atomic<int64_t> accepted_{0}, turned_away_{0};
  std::thread thread_;
};

}  // namespace lockstep
