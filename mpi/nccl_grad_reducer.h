// SPDX-License-Identifier: Apache-2.0
// DeviceGradReducer over NCCL. Lives in the CUDA library (kernels/cuda_library.h), which hands out the factory.
#pragma once

#include <memory>

#include "core/base/device.h"
#include "core/base/status.h"
#include "mpi/communicator.h"
#include "mpi/device_grad_reducer.h"
#include "mpi/grad_shards.h"

namespace lockstep {

struct NcclReducerOptions {
  // Partial sums go to the owner of each shard, who adds them along the tree. False: ncclAllReduce sums, every rank
  // updates all weights, and the last bits depend on the number of ranks.
  bool ordered = true;
  // For NCCL to connect all ranks, and for any call of it to return. The communicator is then aborted.
  double connect_timeout_s = 60;
};

// Collective. An error of connecting is the same on every rank and names the rank that had it; one of memory is the
// rank's own, so callers compare notes. Unless `ordered`, the gradients of a rank must be one partial sum, whatever the
// plan says of its slices.
using MakeNcclGradReducer = absl::StatusOr<std::unique_ptr<DeviceGradReducer>>(Communicator& communicator,
                                                                               GradPlan plan, Device& device,
                                                                               DeviceStream stream,
                                                                               const NcclReducerOptions& options);
MakeNcclGradReducer make_nccl_grad_reducer;

}  // namespace lockstep
