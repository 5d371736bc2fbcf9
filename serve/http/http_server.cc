// SPDX-License-Identifier: Apache-2.0
#include "serve/http/http_server.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "core/base/log.h"
#include "serve/http/http_policy.h"
#include "serve/http/listener.h"
#include "serve/http/worker.h"

namespace lockstep {
namespace {

// Descriptors for everything but connections: models, logs, gRPC.
constexpr int kOtherDescriptors = 256;

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
    workers_[0]->watch(listener_->socket(), [this] { return accept(); });
    return absl::OkStatus();
  }

  int port() const override { return listener_->port(); }

  HttpServerCounts counts() const override {
    const HttpCounters& counters = settings_.counters;
    return {counters.connections, counters.accepted,  counters.turned_away,
            counters.requests,    counters.malformed, counters.timed_out};
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
    const bool could = listener_->accept([this](int socket) { take(socket); });
    if (!could && !std::exchange(is_out_of_descriptors_, true)) {
      LOG_WARNING("out of descriptors at {} connections: new ones wait", settings_.counters.connections.load());
    }
    return could;
  }

  void take(int socket) {
    if (settings_.counters.connections >= settings_.options.max_connections) return turn_away(socket);
    ++settings_.counters.connections;
    ++settings_.counters.accepted;
    workers_[next_worker_++ % workers_.size()]->serve(socket);
  }

  // As much as the socket takes at once; without TLS, which would take round trips.
  void turn_away(int socket) {
    ++settings_.counters.turned_away;
    if (settings_.tls == nullptr) {
      char ignored[4096];
      // A request that has come would, unread, take back the answer when the socket is closed.
      [[maybe_unused]] ssize_t bytes = recv(socket, ignored, sizeof(ignored), MSG_DONTWAIT);
      HttpResponse response = http_error(503, "too many connections: try again later");
      response.headers = {{"Retry-After", "1"}};
      std::string text;
      append_answer_head(response, {.keeps_alive = false, .date = date_.now(), .headers = ""}, text);
      text += response.body;
      bytes = send(socket, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      shutdown(socket, SHUT_WR);
    }
    close(socket);
  }

  void after_close() {
    if (!settings_.is_stopping) return;
    const std::lock_guard lock(closed_mutex_);
    closed_.notify_all();
  }

  WorkerSettings settings_;
  std::unique_ptr<Listener> listener_;
  // Of the first worker's thread, once started:
  size_t next_worker_ = 0;
  bool is_out_of_descriptors_ = false;
  HttpDate date_;

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
