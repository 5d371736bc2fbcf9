// SPDX-License-Identifier: Apache-2.0
#include "mpi/grad_reducer.h"

#include <utility>

#include "mpi/grad_shards.h"
#include "mpi/transports.h"

namespace lockstep {

absl::StatusOr<std::unique_ptr<GradReducer>> GradReducer::create(Communicator& communicator,
                                                                 const GradReducerOptions& options, int64_t parameters,
                                                                 std::vector<Bucket> buckets) {
  LOCKSTEP_ASSIGN_OR_RETURN(GradPlan plan, make_grad_plan(communicator.rank(), communicator.size(), options.grad_slices,
                                                          parameters, std::move(buckets)));
  if (communicator.size() == 1) return make_local_grad_reducer(std::move(plan));
  return absl::UnimplementedError("gradient reduction over several ranks");
}

}  // namespace lockstep
