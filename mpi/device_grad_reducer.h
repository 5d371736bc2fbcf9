// SPDX-License-Identifier: Apache-2.0
// The ordered reduce-scatter of gradients and the all-gather of weights between GPUs: grad_reducer.h for buffers in
// device memory. Calls enqueue on one stream of the caller's, the reducer's stream, and return; nothing waits, so a
// step may be captured in a graph, and a captured step calls nothing here when it is launched again.
//
// Use, once per step (the same order of calls on every rank):
//   for each bucket, in the order of backward, when the stream has been made to wait for its gradients:
//     reducer->reduce_scatter(bucket);
//     … enqueue Adam on weights()[shard.begin .. shard.end) of shard(bucket) on the stream …
//     reducer->all_gather(bucket);
//   make other streams wait for the stream before they write gradients() or read weights().
//
// The result does not depend on the number of ranks: who finishes an element adds the same partial sums in the same
// order. (The plain all-reduce, there for comparison, gives that up.) Buffers belong to the reducer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/device.h"
#include "core/base/status.h"
#include "mpi/grad_reducer.h"
#include "mpi/grad_shards.h"

namespace lockstep {

class DeviceGradReducer {
 public:
  virtual ~DeviceGradReducer() = default;

  // "local", "nccl", "nccl all-reduce".
  virtual std::string_view transport() const = 0;

  // As GradReducer's, in device memory, zero at first.
  virtual float* weights() = 0;
  virtual float* gradients() = 0;
  virtual int64_t gradient_stride() const = 0;

  virtual absl::Status reduce_scatter(int bucket) = 0;
  // The terms of my shard, in device memory, complete after reduce_scatter(bucket). The same for every step.
  virtual Shard shard(int bucket) const = 0;
  virtual absl::Status all_gather(int bucket) = 0;

  // Optimizer state lives with the owner of the shard: fixed for the run.
  virtual Bucket shard_of(int bucket, int rank) const = 0;
  // Collective: enqueues that rank 0's `full` is filled from every rank's own shards in `mine`; both device memory in
  // the layout of the weights, `full` may be gradients(). For checkpoints, between steps.
  virtual absl::Status gather_shards(const float* mine, float* full) = 0;

  // The error of transfers under way, if there is one. Never blocks.
  virtual absl::Status check() = 0;
  // Gives up the transfers under way: work on the stream ends, its results mean nothing, no other call is allowed.
  virtual void abort() = 0;
};

// One rank: its one partial sum is the gradient, and nothing moves.
absl::StatusOr<std::unique_ptr<DeviceGradReducer>> make_local_device_grad_reducer(GradPlan plan, Device& device,
                                                                                  DeviceStream stream);

// Bytes of device memory that a reducer allocates.
int64_t device_grad_reducer_bytes(const GradPlan& plan);

}  // namespace lockstep
