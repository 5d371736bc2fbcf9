// SPDX-License-Identifier: Apache-2.0
// A call of one request and one answer, whatever library carries them.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "core/base/status.h"

namespace lockstep {

struct GrpcRequest {
  std::string method;                              // "/tensorflow.serving.PredictionService/Predict"
  std::string body;                                // a serialised message, whatever the client put there
  std::chrono::steady_clock::time_point received;  // when its last byte had come
  std::chrono::steady_clock::time_point deadline;  // after which nobody waits for the answer
};

// A serialised message, or why there is none. Called exactly once, on any thread; harmless when the client has gone.
using GrpcRespond = std::function<void(absl::StatusOr<std::string>)>;
// Called for several requests at the same time when there are several; must not block.
using GrpcHandler = std::function<void(GrpcRequest, GrpcRespond)>;

}  // namespace lockstep
