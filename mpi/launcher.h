// SPDX-License-Identifier: Apache-2.0
// Who started this process, told from its environment. Pure: no MPI call.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "core/base/status.h"

namespace lockstep {

struct Launch {
  bool uses_mpi = false;   // else: a plain start, one process
  std::string launcher;    // "mpirun", "srun", "mpiexec", or ""
  int declared_size = 0;   // ranks the launcher says it started; 0 when it does not say
  int declared_rank = -1;  // -1 when it does not say
  std::string job;         // the same for all processes of one job and for no other; "" when unknown
};

using EnvironmentLookup = std::function<std::optional<std::string>(const char* name)>;

// Errors: FailedPrecondition when a launcher started several processes that MPI cannot connect (each would train
// alone); InvalidArgument when a variable is no number.
absl::StatusOr<Launch> detect_launch(const EnvironmentLookup& environment);
// Of this process.
std::optional<std::string> environment_variable(const char* name);

// An error unless MPI sees as many ranks as the launcher declared.
absl::Status check_world_size(const Launch& launch, int mpi_size);

}  // namespace lockstep
