// SPDX-License-Identifier: Apache-2.0
#include "core/train/rank_usage.h"

#include <chrono>
#include <cstring>

#include "core/base/check.h"
#include "core/base/host_info.h"

namespace lockstep {
namespace {

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

UsageSampler::UsageSampler() : wall_s_(wall_seconds()), cpu_s_(process_cpu_seconds()) {}

absl::StatusOr<std::vector<RankUsage>> UsageSampler::sample(Communicator& communicator, double communication_seconds) {
  const double wall_s = wall_seconds(), cpu_s = process_cpu_seconds();
  RankUsage mine{.cpu_percent = wall_s > wall_s_ ? 100 * (cpu_s - cpu_s_) / (wall_s - wall_s_) : 0,
                 .resident_memory_bytes = resident_memory_bytes(),
                 .peak_memory_bytes = peak_memory_bytes(),
                 .communication_seconds = communication_seconds};
  wall_s_ = wall_s;
  cpu_s_ = cpu_s;
  LOCKSTEP_ASSIGN_OR_RETURN(const auto blobs,
                            communicator.all_gather({reinterpret_cast<const char*>(&mine), sizeof(mine)}));
  std::vector<RankUsage> all(blobs.size());
  for (size_t rank = 0; rank < blobs.size(); ++rank) {
    LOCKSTEP_CHECK_EQ(blobs[rank].size(), sizeof(RankUsage));
    std::memcpy(&all[rank], blobs[rank].data(), sizeof(RankUsage));
  }
  return all;
}

}  // namespace lockstep
