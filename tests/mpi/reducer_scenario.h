// SPDX-License-Identifier: Apache-2.0
// A stand-in for training that exercises a gradient reducer as the training loop does, and is sensitive to every stale,
// early or misplaced float: the next gradient depends on the weights, and all sums are compared bit by bit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "mpi/communicator.h"
#include "mpi/grad_reducer.h"

namespace lockstep {

struct Scenario {
  std::string transport = "auto";
  int slices = 8;
  int steps = 20;
  // The last one first, as backward does; one has fewer floats than there are ranks.
  std::vector<Bucket> buckets = {{1237, 3000}, {1227, 10}, {1000, 227}, {0, 1000}};
  int64_t parameters = 4237;
};

// Weights after the scenario on one rank, by plain loops; computed once, for all ranks that are threads. Thread-safe.
const std::vector<float>& expected_weights(const Scenario& scenario);

// Collective. Runs the scenario, with delays that differ by rank and step, and checks weights, control votes, waits and
// gather_shards. An error names the first difference.
absl::Status run_scenario(Communicator& communicator, const Scenario& scenario);

}  // namespace lockstep
