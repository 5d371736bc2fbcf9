// SPDX-License-Identifier: Apache-2.0
// An HTTP/1.1 server (RFC 9112) with bounds on everything: sizes, connections and times. Keep-alive, pipelining, HEAD,
// Expect: 100-continue and chunked requests; TLS 1.2 or later with a certificate. Answers an error of its own as
// {"error": "…"}.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "serve/http/http_message.h"

namespace lockstep {

struct HttpServerOptions {
  std::string address = "127.0.0.1";  // numeric, IPv4 or IPv6
  int port = 0;                       // 0: any free one
  int threads = 1;
  // Beyond, the connection that has kept the server waiting longest makes room for the new one when that is so long or
  // more; else the new one is answered 503.
  int max_connections = 1024;
  std::chrono::milliseconds make_room_after{1000};
  int max_header_bytes = 16 << 10;
  int64_t max_body_bytes = 64 << 20;
  // Of bodies that have not come to their end, all connections together, but for the first 64 KiB of each; then 503.
  int64_t max_unfinished_bytes = 256 << 20;
  std::chrono::milliseconds header_timeout{10000};   // for a request line and headers, from their first byte; then 408
  std::chrono::milliseconds body_timeout{30000};     // for a body, and a second more for each 32 KiB of it; then 408
  std::chrono::milliseconds idle_timeout{60000};     // between requests of a connection
  std::chrono::milliseconds write_timeout{30000};    // for an answer, and a second more for each 32 KiB of it
  std::chrono::milliseconds request_timeout{30000};  // for the handler; then 504
  std::string tls_certificate = {}, tls_key = {};    // PEM files; both or none
  std::string bearer_token = {};                     // asked of every request but those for open_paths, unless empty
  // Need no token; one that ends in '/' stands for all below it.
  std::vector<std::string> open_paths = {};
  // Names of this server, besides IP addresses and names without a dot; empty: any. Requests for another host are
  // refused with 421: a web page can have its own host's name resolve to this server, and would then be of its origin.
  std::vector<std::string> allowed_hosts = {};
  std::string cors_allow_origin = {};  // "*" or an origin that browsers may call from; empty: none
};

struct HttpServerCounts {
  int64_t connections = 0;  // open now
  int64_t accepted = 0, turned_away = 0, requests = 0, malformed = 0, timed_out = 0;
  int64_t made_room = 0;  // connections closed for new ones
};

// Thread-safe.
class HttpServer {
 public:
  // Listens, and serves on threads of its own. The error names address and port, and who may be the cause.
  static absl::StatusOr<std::unique_ptr<HttpServer>> start(const HttpServerOptions& options, HttpHandler handler);
  virtual ~HttpServer() = default;  // as stop(), with no time

  virtual int port() const = 0;
  virtual HttpServerCounts counts() const = 0;
  // Refuses new connections, takes no new requests, lets those that run be answered within `bound`, then closes all.
  // The handler is not called any more when this returns.
  virtual void stop(std::chrono::milliseconds bound) = 0;
};

}  // namespace lockstep
