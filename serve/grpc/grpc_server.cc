// SPDX-License-Identifier: Apache-2.0
#include "serve/grpc/grpc_server.h"

#include <fmt/format.h>
#include <grpc/grpc.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>
#include <thread>
#include <utility>

#include "core/base/file.h"
#include "serve/grpc/grpc_calls.h"
#include "serve/grpc/grpc_listener.h"
#include "serve/grpc/health.h"
#include "serve/grpc/library_log.h"
#include "serve/http/http_policy.h"
#include "serve/http/socket_transport.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;

constexpr int64_t kMostPemBytes = 1 << 20;
constexpr milliseconds kTimeToTellWatches{1000};

int to_int(int64_t value) { return static_cast<int>(std::min<int64_t>(value, std::numeric_limits<int>::max())); }

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> make_credentials(const GrpcServerOptions& options) {
  if (options.tls_certificate.empty() && options.tls_key.empty()) return grpc::InsecureServerCredentials();
  // The library would say nothing of a file that is wrong.
  LOCKSTEP_RETURN_IF_ERROR(make_tls_context(options.tls_certificate, options.tls_key).status());
  grpc::SslServerCredentialsOptions tls;  // TLS 1.2 or later
  LOCKSTEP_ASSIGN_OR_RETURN(std::string key, read_file(options.tls_key, kMostPemBytes));
  LOCKSTEP_ASSIGN_OR_RETURN(std::string certificate, read_file(options.tls_certificate, kMostPemBytes));
  tls.pem_key_cert_pairs.push_back({std::move(key), std::move(certificate)});
  return grpc::SslServerCredentials(tls);
}

// Until the process ends: the library's own end waits, for ten seconds now and then, for a thread of its that polls.
void keep_library() {
  static std::once_flag once;
  std::call_once(once, grpc_init);
}

void set_bounds(const GrpcServerOptions& options, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(to_int(options.max_message_bytes));
  builder.SetMaxSendMessageSize(-1);
  // A compressed message would be unpacked before its size is known.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  grpc::ResourceQuota quota("lockstep");
  quota.Resize(static_cast<size_t>(options.max_buffered_bytes + 2 * options.max_message_bytes));
  builder.SetResourceQuota(quota);
  const auto set = [&](const char* name, int64_t value) { builder.AddChannelArgument(name, to_int(value)); };
  set(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_calls_of_connection);
  set(GRPC_ARG_MAX_METADATA_SIZE, options.max_metadata_bytes);
  set(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, options.handshake_timeout.count());
  set(GRPC_ARG_MAX_CONNECTION_IDLE_MS, options.idle_timeout.count());
  set(GRPC_ARG_MAX_CONNECTION_AGE_MS, options.connection_age.count());
  set(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, (options.message_timeout + options.request_timeout).count());
  // Clients that have gone without a word are found by pings of ours; those who ping more often than every ten seconds
  // are sent away.
  set(GRPC_ARG_KEEPALIVE_TIME_MS, 60000);
  set(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20000);
  set(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10000);
  set(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2);
}

GrpcCallBounds bounds_of_calls(const GrpcServerOptions& options) {
  return {.max_calls = options.max_calls,
          .max_message_bytes = options.max_message_bytes,
          .max_buffered_bytes = options.max_buffered_bytes,
          .request_timeout = options.request_timeout};
}

GrpcCallBounds bounds_of_health(const GrpcServerOptions& options) {
  return {.max_calls = options.max_health_calls,
          .max_message_bytes = options.max_health_message_bytes,
          .max_buffered_bytes = options.max_health_calls * options.max_health_message_bytes,
          .request_timeout = options.request_timeout};
}

// Judges the head of every call, and has it answered.
class Dispatcher : public grpc::CallbackGenericService {
 public:
  Dispatcher(const GrpcServerOptions& options, GrpcHandler handler, std::function<bool()> is_ready)
      : token_(options.bearer_token),
        waiting_(options.max_waiting_calls, options.message_timeout),
        waiting_for_health_(options.max_health_calls, options.health_message_timeout),
        health_(options.health_services, {options.max_watches, options.max_health_message_bytes}, waiting_for_health_,
                std::move(is_ready)),
        calls_(bounds_of_calls(options), waiting_, std::move(handler)),
        checks_(
            bounds_of_health(options), waiting_for_health_,
            [this](const GrpcRequest& request, const GrpcRespond& respond) { respond(health_.check(request.body)); }) {}

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    if (const absl::Status status = check(*context); !status.ok()) {
      ++refused_;
      return refuse_call(status);
    }
    if (context->method() == kHealthWatchMethod) return health_.watch();
    return context->method() == kHealthCheckMethod ? checks_.start(*context) : calls_.start(*context);
  }

  // What takes no message of a client.
  void tick() {
    waiting_.end_late();
    waiting_for_health_.end_late();
    health_.tell();
  }

  void stop() {
    is_stopping_ = true;
    health_.stop();
  }

  // But for health.
  bool is_idle() const { return calls_.running() == 0 && waiting_.size() == 0; }
  bool has_watches() const { return health_.watches() > 0; }

  void count(GrpcServerCounts& counts) const {
    counts.calls = calls_.open() + checks_.open();
    counts.begun = calls_.begun() + checks_.begun();
    counts.refused = refused_ + calls_.refused() + checks_.refused();
    counts.late = waiting_.late() + waiting_for_health_.late();
    counts.made_room = waiting_.made_room() + waiting_for_health_.made_room();
  }

 private:
  absl::Status check(const grpc::GenericCallbackServerContext& context) const {
    const bool is_health = context.method() == kHealthCheckMethod || context.method() == kHealthWatchMethod;
    if (is_stopping_ && !is_health) return absl::UnavailableError("the server is shutting down");
    if (token_.empty() || is_health) return absl::OkStatus();
    const auto given = context.client_metadata().find("authorization");
    if (given != context.client_metadata().end() && is_bearer({given->second.data(), given->second.size()}, token_)) {
      return absl::OkStatus();
    }
    return absl::UnauthenticatedError(
        "this server asks for its access token: send the metadata \"authorization: Bearer TOKEN\"");
  }

  const std::string token_;
  std::atomic<bool> is_stopping_{false};
  std::atomic<int64_t> refused_{0};
  WaitingCalls waiting_, waiting_for_health_;
  Health health_;
  GrpcCalls calls_, checks_;
};

class LibraryServer : public GrpcServer {
 public:
  LibraryServer(const GrpcServerOptions& options, GrpcHandler handler, std::function<bool()> is_ready)
      : options_(options), dispatcher_(options_, std::move(handler), std::move(is_ready)) {}

  ~LibraryServer() override { stop(milliseconds(0)); }

  absl::Status listen() {
    keep_library();
    take_over_library_log();
    LOCKSTEP_ASSIGN_OR_RETURN(const auto credentials, make_credentials(options_));
    LOCKSTEP_ASSIGN_OR_RETURN(listener_, GrpcListener::open({.address = options_.address,
                                                             .port = options_.port,
                                                             .max_connections = options_.max_connections,
                                                             .other_descriptors = options_.other_descriptors,
                                                             .make_room_after = options_.make_room_after,
                                                             .take = [this](int socket) { take(socket); },
                                                             .tick = [this] { dispatcher_.tick(); }}));
    grpc::ServerBuilder builder;
    set_bounds(options_, builder);
    builder.RegisterCallbackGenericService(&dispatcher_);
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      return absl::InternalError(
          fmt::format("gRPC at {} port {}: the library does not start its server", options_.address, options_.port));
    }
    listener_->start();
    return absl::OkStatus();
  }

  int port() const override { return listener_->port(); }

  GrpcServerCounts counts() const override {
    GrpcServerCounts counts;
    dispatcher_.count(counts);
    counts.connections = listener_->connections();
    counts.connections_made_room = listener_->made_room();
    counts.accepted = listener_->accepted();
    counts.turned_away = listener_->turned_away();
    return counts;
  }

  void stop(milliseconds bound) override {
    const std::lock_guard one_at_a_time(stop_mutex_);
    if (server_ == nullptr) return;
    listener_->stop();
    dispatcher_.stop();
    // The library would also wait for every client to acknowledge the end of its connection, which those that are idle
    // do seconds later, and others never.
    const auto wait = [](milliseconds most, const auto& is_over) {
      const auto by = std::chrono::steady_clock::now() + most;
      while (!is_over() && std::chrono::steady_clock::now() < by) std::this_thread::sleep_for(milliseconds(2));
    };
    wait(bound, [this] { return dispatcher_.is_idle(); });
    wait(std::min(bound, kTimeToTellWatches), [this] { return !dispatcher_.has_watches(); });
    server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }

 private:
  void take(int socket) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = socket;
    acceptor_->HandleNewConnection(&connection);
  }

  const GrpcServerOptions options_;
  Dispatcher dispatcher_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<GrpcListener> listener_;
  std::mutex stop_mutex_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::start(const GrpcServerOptions& options, GrpcHandler handler,
                                                              std::function<bool()> is_ready) {
  auto server = std::make_unique<LibraryServer>(options, std::move(handler), std::move(is_ready));
  LOCKSTEP_RETURN_IF_ERROR(server->listen());
  return server;
}

}  // namespace lockstep
