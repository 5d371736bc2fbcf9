// SPDX-License-Identifier: Apache-2.0
// The transports behind GradReducer::create. Collective; `communicator` outlives the reducer.
#pragma once

#include <memory>
#include <vector>

#include "core/base/status.h"
#include "mpi/communicator.h"
#include "mpi/grad_reducer.h"
#include "mpi/grad_shards.h"

namespace lockstep {

// Collective. The plan of this rank, after a check that all ranks reduce the same.
absl::StatusOr<GradPlan> agree_on_grad_plan(Communicator& communicator, const GradReducerOptions& options,
                                            int64_t parameters, std::vector<Bucket> buckets);

// One rank: nothing moves.
absl::StatusOr<std::unique_ptr<GradReducer>> make_local_grad_reducer(GradPlan plan);
// Ranks that can map each other's memory. Unavailable, on every rank, when they cannot.
absl::StatusOr<std::unique_ptr<GradReducer>> make_shm_grad_reducer(Communicator& communicator, GradPlan plan);
// Ranks that can send messages to each other.
absl::StatusOr<std::unique_ptr<GradReducer>> make_mpi_grad_reducer(Communicator& communicator, GradPlan plan);

}  // namespace lockstep
