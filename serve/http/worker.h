// SPDX-License-Identifier: Apache-2.0
// One I/O thread and the connections that are its own.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "serve/http/connection.h"
#include "serve/http/socket_transport.h"

namespace lockstep {

// What all workers of a server share. Outlives them.
struct WorkerSettings {
  HttpServerOptions options;
  HttpHandler handler;
  TlsContext tls;
  HttpCounters counters = {};
  std::atomic<bool> is_stopping{false};
  std::function<void()> on_closed = {};  // a connection; on the worker's thread
};

// Thread-safe.
class Worker {
 public:
  static std::unique_ptr<Worker> start(WorkerSettings& settings);
  virtual ~Worker() = default;  // as stop()

  // Serves a connected, non-blocking socket, which the counter of connections counts already. When that is beyond the
  // limit, the connection of this worker that has kept it waiting longest is closed, or else this one is turned away.
  virtual void serve(int socket) = 0;
  // Calls `ready` on the worker's thread whenever `socket` may be accepted from; after false, only a little later.
  // Calls `unwatched` there when it will do so no more.
  virtual void watch(int socket, std::function<bool()> ready, std::function<void()> unwatched) = 0;
  // No longer watches; closes the connections of which no request runs. Returns before that has happened.
  virtual void finish() = 0;
  // Closes all connections and ends the thread.
  virtual void stop() = 0;
};

}  // namespace lockstep
