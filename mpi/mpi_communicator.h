// SPDX-License-Identifier: Apache-2.0
// The communicator of a job started by an MPI launcher.
#pragma once

#include <memory>

#include "core/base/status.h"
#include "mpi/communicator.h"
#include "mpi/launcher.h"

namespace lockstep {

// Collective over the job. Returns when every rank has arrived.
absl::StatusOr<std::unique_ptr<Communicator>> open_mpi_communicator(const CommunicatorOptions& options,
                                                                    const Launch& launch);

}  // namespace lockstep
