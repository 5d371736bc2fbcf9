// SPDX-License-Identifier: Apache-2.0
// How many threads a rank should use when nobody said.
#pragma once

#include "core/base/status.h"
#include "mpi/communicator.h"

namespace lockstep {

// Collective. Ranks of one host that may run on the same cores share them, at least one each; a launcher that binds
// ranks to different cores has shared them out already.
absl::StatusOr<int> threads_for_rank(Communicator& communicator);

}  // namespace lockstep
