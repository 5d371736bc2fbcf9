// SPDX-License-Identifier: Apache-2.0
// Decisions that all ranks must share.
#pragma once

#include <string_view>

#include "core/base/status.h"
#include "mpi/communicator.h"

namespace lockstep {

// Collective. OK when every rank brought OK; else, on every rank, the error of the lowest rank that failed (its rank
// and host are named when there are several ranks). After an agreed error all ranks may leave in good order.
absl::Status agree(Communicator& communicator, const absl::Status& mine);

// True for errors that agree() returned on every rank: rank 0 alone reports them and nobody needs to abort the others.
bool is_agreed(const absl::Status& status);

// Collective. An error when ranks hold different values of `what` (a hash, say): lists who has which.
absl::Status check_same_on_all_ranks(Communicator& communicator, std::string_view what, std::string_view value);

}  // namespace lockstep
