// SPDX-License-Identifier: Apache-2.0
// Zero-filled memory that all ranks of a job share. It has no name in the file system: it vanishes with its last user,
// however that one ends.
#pragma once

#include <cstddef>

#include "core/base/status.h"
#include "mpi/communicator.h"
#include "mpi/page_buffer.h"

namespace lockstep {

// Collective. Every rank gets the same memory or every rank gets the same error: Unavailable, naming the ranks and
// hosts that cannot map it (another host, another container).
absl::StatusOr<PageBuffer> open_shared_segment(Communicator& communicator, size_t bytes);

}  // namespace lockstep
