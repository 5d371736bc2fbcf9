// SPDX-License-Identifier: Apache-2.0
#include "mpi/communicator.h"

#include <utility>

#include "core/base/log.h"
#include "mpi/backoff.h"
#include "mpi/launcher.h"
#include "mpi/mpi_communicator.h"

namespace lockstep {

ProgressSource::ProgressSource(Communicator& communicator, std::function<uint64_t()> count)
    : communicator_(communicator), count_(std::move(count)) {
  communicator_.add_progress_source(this);
}

ProgressSource::~ProgressSource() { communicator_.remove_progress_source(this); }

absl::Status Communicator::wait_for_others(std::string_view, absl::FunctionRef<absl::StatusOr<bool>()> done) {
  for (Backoff backoff;; backoff.pause()) {
    LOCKSTEP_ASSIGN_OR_RETURN(const bool ready, done());
    if (ready) return absl::OkStatus();
  }
}

absl::StatusOr<std::unique_ptr<Communicator>> open_communicator(const CommunicatorOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const Launch launch, detect_launch(environment_variable));
  // A single rank needs no MPI, whoever started it.
  if (!launch.uses_mpi || launch.declared_size == 1) return make_local_communicator();
  // What goes wrong before MPI tells the rank is told under the launcher's.
  if (launch.declared_rank >= 0) init_logging(launch.declared_rank);
  return open_mpi_communicator(options, launch);
}

}  // namespace lockstep
