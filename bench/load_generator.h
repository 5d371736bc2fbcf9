// SPDX-License-Identifier: Apache-2.0
// A closed loop of HTTP clients on one thread: each connection sends its next request when the answer to the last one
// has come, and looks whether that answer is right.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

struct LoadRequest {
  std::string text;              // as it goes over the wire
  std::vector<int64_t> classes;  // of a right answer, in order
};

// POST of a JSON body.
LoadRequest predict_request(std::string_view path, std::string_view body, std::vector<int64_t> classes);

struct LoadOptions {
  int port = 0;  // of 127.0.0.1
  int connections = 1;
  double seconds = 1;     // how long requests are sent; each connection sends at least one
  double timeout_s = 60;  // then the server is taken for hung
};

struct Load {
  std::vector<double> latencies_s;  // of every request, ascending
  double seconds = 0;               // until the last answer
  double requests_per_s() const { return static_cast<double>(latencies_s.size()) / seconds; }
};

// The value below which a share `q` of ascending values lies (nearest rank); 0 without any.
double quantile_of(std::span<const double> ascending, double q);

// Sends `requests` in turns. DataLoss for an answer with other classes than the request's, Unavailable for any status
// but 200, or a connection that ends; both quote the answer. DeadlineExceeded when none came in time.
absl::StatusOr<Load> run_load(std::span<const LoadRequest> requests, const LoadOptions& options);

// Bytes of the answer at the front of `text`; nothing while its head is not complete. Unavailable for a head without
// Content-Length, which is all that servers of predictions send.
absl::StatusOr<std::optional<size_t>> answer_length(std::string_view text);

// What run_load() demands of one whole answer.
absl::Status check_answer(std::string_view answer, std::span<const int64_t> classes);

// A connection to 127.0.0.1, or -1.
int connect_to(int port);

}  // namespace lockstep
