// SPDX-License-Identifier: Apache-2.0
#include "core/train/thread_share.h"

#include <sched.h>

#include <algorithm>
#include <string>

#include "core/base/host_info.h"

namespace lockstep {
namespace {

// This host and the cores this process may run on, comparable as text.
std::string cores_here() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::string text = host_name() + ":";
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return text;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) text += std::to_string(core) + ",";
  }
  return text;
}

}  // namespace

absl::StatusOr<int> threads_for_rank(Communicator& communicator) {
  const std::string mine = cores_here();
  LOCKSTEP_ASSIGN_OR_RETURN(const auto all, communicator.all_gather(mine));
  const auto sharers = static_cast<int>(std::count(all.begin(), all.end(), mine));
  return std::max(1, available_cores() / std::max(1, sharers));
}

}  // namespace lockstep
