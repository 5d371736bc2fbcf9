// SPDX-License-Identifier: Apache-2.0
// What each rank uses of its machine, for the event file and the log.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/status.h"
#include "mpi/communicator.h"

namespace lockstep {

struct RankUsage {
  double cpu_percent = 0;  // of one core, since the last sample: 200 is two busy cores
  int64_t resident_memory_bytes = 0;
  int64_t peak_memory_bytes = 0;
  double communication_seconds = 0;  // waited for others, so far
};

// Samples this process; one object, one interval after another.
class UsageSampler {
 public:
  UsageSampler();
  // Collective: a sample of every rank, in rank order, on every rank.
  absl::StatusOr<std::vector<RankUsage>> sample(Communicator& communicator, double communication_seconds);

 private:
  double wall_s_, cpu_s_;
};

}  // namespace lockstep
