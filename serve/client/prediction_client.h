// SPDX-License-Identifier: Apache-2.0
// Asks a prediction server over HTTP: ours, or one of TensorFlow Serving. Thread-safe.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "serve/client/server_url.h"

namespace lockstep {

struct PredictionServer {
  ServerUrl url = {};
  std::string token;    // sent as "Authorization: Bearer", and never shown; empty: none
  std::string ca_file;  // PEM of whom to trust; empty: the system's authorities
  std::chrono::milliseconds timeout{60'000};
};

struct PredictionTarget {
  std::string model;
  std::string version;  // a name, or the number of a directory's version; empty: the default version
};

// {"instances": [instance, …], "signature_name": "…"}; `instances` are JSON already. No name: none is sent.
std::string instances_body(std::span<const std::string> instances, const std::string& signature_name);

// The body of the server's answer to `body`. An error says what the server said, or why nothing came from it within the
// time, and what to do.
absl::StatusOr<std::string> ask_for_predictions(const PredictionServer& server, const PredictionTarget& target,
                                                std::string_view body);

}  // namespace lockstep
