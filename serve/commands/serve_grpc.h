// SPDX-License-Identifier: Apache-2.0
// The gRPC port of `lockstep serve`.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "core/base/status.h"
#include "serve/grpc/grpc_server.h"
#include "serve/http/http_server.h"
#include "serve/models/model_store.h"
#include "serve/rest/metrics.h"
#include "serve/rest/router.h"

namespace lockstep {

struct GrpcFlags {
  int port = 8500;      // that of TensorFlow Serving; 0: any free one
  bool is_off = false;  // there, 0 says so
};

// "127.0.0.1:8500", "[::1]:8500"
std::string host_and_port(const std::string& address, int port);

void add_grpc_flags(CLI::App& serve, GrpcFlags& flags);

// Serves at the address, with the identity, the token and the bounds that the HTTP server has, and logs where; null
// when it is off. Store and metrics are borrowed for as long as the server lives.
absl::StatusOr<std::unique_ptr<GrpcServer>> start_grpc(const GrpcFlags& flags, const HttpServerOptions& http,
                                                       const RestOptions& rest, ModelStore& store,
                                                       ServingMetrics& metrics);

}  // namespace lockstep
