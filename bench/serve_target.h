// SPDX-License-Identifier: Apache-2.0
// The servers that are compared, and the rows of what they do.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench/bench_row.h"
#include "bench/serve_work.h"
#include "bench/server_process.h"
#include "core/base/status.h"

namespace lockstep {

struct ServeTarget {
  std::string name;                        // "Lockstep", "ONNX Runtime 1.32.0 behind FastAPI 0.165.0"
  std::string variant;                     // "2 workers": what of it was found fastest
  std::string path;                        // of its predictions
  int threads = 1;                         // of one pass of the model
  std::shared_ptr<ServerProcess> process;  // variants of a peer may share it
};

// `lockstep serve` of the work's model, as a user starts it. threads = 0: what it takes by itself, as it tells.
absl::StatusOr<ServeTarget> start_ours(const std::string& program, const ServeWork& work, const std::string& scratch,
                                       int threads);

struct ServePeerOptions {
  std::string scripts = "bench/peers";       // folder of serve_<peer>.py
  std::string environments = "build/peers";  // where bench/peers/setup.sh made <peer>/bin/python
};

// ONNX Runtime and TensorFlow behind FastAPI, each in its fastest variant on this machine at `connections` connections.
// One that cannot run is left out with a warning; an error when none can.
absl::StatusOr<std::vector<ServeTarget>> start_serve_peers(const ServePeerOptions& options, const ServeWork& work,
                                                           const std::string& scratch, int connections);

struct ServeShape {
  std::string name;  // "1 image, 64 connections"
  int64_t images = 1;
  int connections = 1;
};

struct ServeRounds {
  int rounds = 5;
  double seconds = 1;  // of each server in each round
};

// A row for each target, in order, `targets[0]` being ours. They take turns, since the speed of a shared machine
// drifts: images/s is the median over the rounds, the ratio that of ours / theirs in the same round, median and p99
// are of all requests. A server that answers wrongly has a failed row.
std::vector<BenchRow> measure_shape(const ServeWork& work, const ServeShape& shape,
                                    std::span<const ServeTarget> targets, const ServeRounds& rounds);

}  // namespace lockstep
