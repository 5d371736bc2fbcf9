// SPDX-License-Identifier: Apache-2.0
#include "mpi/communicator.h"

#include "mpi/backoff.h"

namespace lockstep {

absl::Status Communicator::wait_for_others(std::string_view, absl::FunctionRef<absl::StatusOr<bool>()> done) {
  for (Backoff backoff;; backoff.pause()) {
    LOCKSTEP_ASSIGN_OR_RETURN(const bool ready, done());
    if (ready) return absl::OkStatus();
  }
}

absl::StatusOr<std::unique_ptr<Communicator>> open_communicator(const CommunicatorOptions&) {
  return make_local_communicator();
}

}  // namespace lockstep
