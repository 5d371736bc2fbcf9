// SPDX-License-Identifier: Apache-2.0
// One request to an HTTP server, with its answer in memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/status.h"

namespace lockstep {

struct HttpPostOptions {
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds timeout{60'000};  // of everything, connecting included
  uint64_t max_answer_bytes = uint64_t{1} << 28;
  std::string bearer_token = "";  // no message shows it; empty: none is sent
  std::string ca_file = "";       // PEM of whom to trust instead of the system's authorities
  bool use_proxy = true;          // that of http_proxy, https_proxy, all_proxy and no_proxy, if there is one
};

struct HttpAnswer {
  int status = 0;
  std::string body;
};

// Posts `body`, which is JSON, and returns the answer, whatever its status. `url` is http or https; redirects are not
// followed, so the token reaches the server that was named only. Errors, which do not name the URL: Unavailable when
// there is no connection, PermissionDenied when TLS finds the other side not trustworthy or not speaking TLS,
// DeadlineExceeded, ResourceExhausted for an answer larger than the bound, DataLoss for one that is cut off or is not
// HTTP. Thread-safe.
absl::StatusOr<HttpAnswer> http_post(const std::string& url, std::string_view body, const HttpPostOptions& options);

}  // namespace lockstep
