// SPDX-License-Identifier: Apache-2.0
#include "serve/http/http_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "core/base/log.h"
#include "serve/http/listener.h"
#include "serve/http/worker.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

// Descriptors for everything but connections: models, logs, gRPC.
constexpr int kOtherDescriptors = 256;
constexpr std::chrono::seconds kBetweenWarnings{60};

class WorkerServer : public HttpServer {
 public:
  WorkerServer(const HttpServerOptions& options, HttpHandler handler)
      : settings_{options, std::move(handler), nullptr} {
    settings_.on_closed = [this] { after_close(); };
  }

  ~WorkerServer() override { stop(std::chrono::milliseconds(0)); }

  absl::Status listen() {
    const HttpServerOptions& options = settings_.options;
    if (!options.tls_certificate.empty() || !options.tls_key.empty()) {
      LOCKSTEP_ASSIGN_OR_RETURN(settings_.tls, make_tls_context(options.tls_certificate, options.tls_key));
    }
    LOCKSTEP_ASSIGN_OR_RETURN(listener_, Listener::open(options.address, options.port));
    raise_descriptor_limit(options.max_connections + kOtherDescriptors);
    for (int i = 0; i < std::max(options.threads, 1); ++i) workers_.push_back(Worker::start(settings_));
    port_ = listener_->port();
    // Closed as soon as nobody accepts: clients that connect while the server stops are refused and need not wait.
    workers_[0]->watch(
        listener_->socket(), [this] { return accept(); }, [this] { listener_.reset(); });
    return absl::OkStatus();
  }

  int port() const override { return port_; }

  HttpServerCounts counts() const override {
    const HttpCounters& counters = settings_.counters;
    return {counters.connections, counters.accepted,  counters.turned_away, counters.requests,
            counters.malformed,   counters.timed_out, counters.made_room};
  }

  void stop(std::chrono::milliseconds bound) override {
    const std::lock_guard one_at_a_time(stop_mutex_);
    if (workers_.empty()) return;
    settings_.is_stopping = true;
    for (const auto& worker : workers_) worker->finish();
    {
      std::unique_lock lock(closed_mutex_);
      closed_.wait_for(lock, bound, [this] { return settings_.counters.connections == 0; });
    }
    for (const auto& worker : workers_) worker->stop();
    workers_.clear();
  }

 private:
  // On the thread of the first worker.
  bool accept() {
    const Listener::Accepted accepted = listener_->accept([this](int socket) {
      ++settings_.counters.connections;
      workers_[next_worker_++ % workers_.size()]->serve(socket);
    });
    settings_.counters.turned_away += accepted.dropped;
    if (accepted.dropped > 0 || accepted.is_exhausted) warn_of_exhaustion(accepted);
    return !accepted.is_exhausted;
  }

  void warn_of_exhaustion(const Listener::Accepted& accepted) {
    const Clock::time_point now = Clock::now();
    if (now < next_warning_) return;
    next_warning_ = now + kBetweenWarnings;
    LOG_WARNING("out of descriptors at {} connections: new ones {}; allow more (ulimit -n) or fewer connections",
                settings_.counters.connections.load(), accepted.is_exhausted ? "wait" : "are closed");
  }

  void after_close() {
    if (!settings_.is_stopping) return;
    const std::lock_guard lock(closed_mutex_);
    closed_.notify_all();
  }

  WorkerSettings settings_;
  int port_ = 0;
  // Of the first worker's thread, once started:
  std::unique_ptr<Listener> listener_;
  size_t next_worker_ = 0;
  Clock::time_point next_warning_;

  std::mutex stop_mutex_, closed_mutex_;
  std::condition_variable closed_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::start(const HttpServerOptions& options, HttpHandler handler) {
  auto server = std::make_unique<WorkerServer>(options, std::move(handler));
  LOCKSTEP_RETURN_IF_ERROR(server->listen());
  return server;
}

}  // namespace lockstep
