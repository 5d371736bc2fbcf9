// SPDX-License-Identifier: Apache-2.0
#include "serve/commands/serve_grpc.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/log.h"
#include "serve/grpc/prediction_service.h"

namespace lockstep {
namespace {

// Descriptors for models and logs.
constexpr int kOtherDescriptors = 256;

GrpcServerOptions options_of(const GrpcFlags& flags, const HttpServerOptions& http) {
  GrpcServerOptions options;
  options.address = http.address;
  options.port = flags.port;
  options.max_message_bytes = http.max_body_bytes;
  options.max_buffered_bytes = http.max_unfinished_bytes;
  options.max_connections = http.max_connections;
  options.other_descriptors = http.max_connections + kOtherDescriptors;
  options.request_timeout = http.request_timeout;
  options.tls_certificate = http.tls_certificate;
  options.tls_key = http.tls_key;
  options.bearer_token = http.bearer_token;
  options.health_services = {kPredictionService, kModelService};
  return options;
}

// In the text format of Prometheus.
std::string grpc_metrics(const GrpcServerCounts& counts) {
  constexpr std::string_view kCalls = "lockstep_serving_grpc_calls";
  constexpr std::string_view kConnections = "lockstep_serving_grpc_connections";
  return metric_heading(kCalls, "gauge", "Calls that are open.") + fmt::format("{} {}\n", kCalls, counts.calls) +
         metric_heading(kConnections, "gauge", "Connections that are open.") +
         fmt::format("{} {}\n", kConnections, counts.connections) +
         event_counters("lockstep_serving_grpc_total", "What became of connections and calls.",
                        {{"connection_accepted", counts.accepted},
                         {"connection_turned_away", counts.turned_away},
                         {"connection_made_room", counts.connections_made_room},
                         {"call", counts.begun},
                         {"refused", counts.refused},
                         {"timed_out", counts.late},
                         {"made_room", counts.made_room}});
}

}  // namespace

std::string host_and_port(const std::string& address, int port) {
  const bool is_v6 = address.find(':') != std::string::npos;
  return fmt::format("{}:{}", is_v6 ? "[" + address + "]" : address, port);
}

void add_grpc_flags(CLI::App& serve, GrpcFlags& flags) {
  serve.add_option("--port", flags.port, "Port of the gRPC API; 0: any free one")
      ->type_name("PORT")
      ->check(CLI::Range(0, 65535));
  serve.add_flag("--no_grpc", flags.is_off, "No gRPC API, whatever --port says");
}

absl::StatusOr<std::unique_ptr<GrpcServer>> start_grpc(const GrpcFlags& flags, const HttpServerOptions& http,
                                                       const RestOptions& rest, ModelStore& store,
                                                       ServingMetrics& metrics) {
  if (flags.is_off) return nullptr;
  auto server = GrpcServer::start(options_of(flags, http), make_prediction_service(store, metrics, rest),
                                  [&store] { return store.ready(); });
  if (!server.ok()) {
    return annotate(server.status(),
                    fmt::format("gRPC (--port {}; --port 0 takes any free one, --no_grpc none)", flags.port));
  }
  metrics.add_source([&counted = **server] { return grpc_metrics(counted.counts()); });
  LOG_INFO("gRPC at {}{}: {}, {}, grpc.health.v1.Health", host_and_port(http.address, (*server)->port()),
           http.tls_certificate.empty() ? "" : " over TLS", kPredictionService, kModelService);
  return server;
}

}  // namespace lockstep
