// SPDX-License-Identifier: Apache-2.0
// What the HTTP port answers: TensorFlow Serving's REST API under /v1/models, Cloud ML Engine's predict under
// /v1/projects, /healthz, /readyz, /monitoring/prometheus/metrics, and pages.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "serve/http/http_message.h"
#include "serve/models/model_store.h"
#include "serve/rest/metrics.h"

namespace lockstep {

struct RestOptions {
  int64_t most_examples = 10'000;              // in one request
  int64_t most_png_pixels = int64_t{1} << 24;  // in all the PNGs of one request
  // Without it, if there is one, /readyz tells no more than whether the server is ready.
  std::string bearer_token = {};
  // Answers GET of a path that belongs to no API; nothing: 404. Called on I/O threads.
  std::function<std::optional<HttpResponse>(const HttpRequest&)> pages;
};

// Both are borrowed for as long as the handler, or a request of it, lives. The handler is thread-safe and does not
// block; a HEAD is answered as its GET, with the body for the server to leave out.
HttpHandler make_rest_handler(ModelStore& store, ServingMetrics& metrics, RestOptions options);

}  // namespace lockstep
