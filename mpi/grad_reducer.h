// SPDX-License-Identifier: Apache-2.0
// The ordered reduce-scatter of gradients and the all-gather of weights, bucket by bucket, overlapped with backward.
//
// Use, once per step (the same order of calls on every rank):
//   reducer->begin_step(control);
//   for each bucket, as soon as backward has written all its partial sums *and no longer reads its weights*:
//     reducer->start_reduce_scatter(bucket);
//   for each bucket, in the same order, as soon as reduce_scatter_ready(bucket) or at the end of backward:
//     shard = reducer->wait_reduce_scatter(bucket);       // terms to add along the slice tree
//     … Adam on weights()[shard.begin .. shard.end) …
//     reducer->start_all_gather(bucket);
//   before the bucket's weights are used again:
//     reducer->wait_all_gather(bucket);
//
// The result does not depend on the number of ranks: who finishes an element adds the same partial sums in the same
// order. Buffers belong to the reducer. One thread (the training loop) calls; errors name bucket, rank and host.
//
// Other ranks may still read this rank's gradients of a bucket until its wait_all_gather has returned: write them (also
// zeros) only after that. Calls out of order are broken invariants and end the process. wait_all_gather of a bucket
// that has nothing outstanding returns at once.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "mpi/communicator.h"

namespace lockstep {

// A range of the flat parameter buffer that is reduced as one.
struct Bucket {
  int64_t offset = 0;  // floats
  int64_t size = 0;
};

// One partial sum of my shard: of `slices` adjacent slices, left to right.
struct ShardTerm {
  const float* data = nullptr;  // (end - begin)
  int slices = 1;
};

struct Shard {
  int64_t begin = 0, end = 0;  // range of the flat parameter buffer; may be empty
  std::vector<ShardTerm> terms;
};

struct GradReducerOptions {
  int grad_slices = 8;             // power of two, at least the number of ranks
  std::string transport = "auto";  // auto, shm (ranks of one host, shared memory), mpi (messages)
};

class GradReducer {
 public:
  virtual ~GradReducer() = default;

  // Collective. `buckets` tile [0, parameters) in any order.
  static absl::StatusOr<std::unique_ptr<GradReducer>> create(Communicator& communicator,
                                                             const GradReducerOptions& options, int64_t parameters,
                                                             std::vector<Bucket> buckets);

  // "local", "shm", "mpi".
  virtual std::string_view transport() const = 0;

  // The flat weights (parameters floats). Ranks of one host may share the memory: write it only as described above, or
  // (initial values, restored checkpoint) write the same values on every rank before the first barrier.
  virtual float* weights() = 0;
  // Where backward writes: the partial sums of this rank, one per subtree; partial sum t of parameter element i is at
  // gradients()[t * gradient_stride() + i].
  virtual float* gradients() = 0;
  virtual int64_t gradient_stride() const = 0;
  // gradients() of rank `rank`, or null when ranks do not see each other's memory: the same for all. May be read for a
  // bucket from wait_reduce_scatter to start_all_gather. With it ranks may exchange other things than partial
  // sums in a bucket's range of the gradients: the terms of the shard then mean nothing.
  virtual const float* gradients_of(int rank) = 0;

  // `control` is this rank's vote for the step; control() is the bitwise or over all ranks and is valid once the first
  // bucket of the step has been waited for.
  virtual void begin_step(uint32_t control) = 0;
  virtual uint32_t control() const = 0;

  virtual absl::Status start_reduce_scatter(int bucket) = 0;
  virtual bool reduce_scatter_ready(int bucket) = 0;
  virtual absl::StatusOr<Shard> wait_reduce_scatter(int bucket) = 0;
  virtual absl::Status start_all_gather(int bucket) = 0;
  virtual absl::Status wait_all_gather(int bucket) = 0;

  // The shard of `bucket` that rank `rank` owns: fixed for the run. Optimizer state lives with its owner.
  virtual Bucket shard_of(int bucket, int rank) const = 0;

  // Collective: fills `full` (parameters floats) on rank 0 from every rank's own shards in `mine` (same layout; only
  // the own shards are read; `full` is not used on other ranks). For checkpoints of optimizer state. Call it between
  // steps; it waits for outstanding all-gathers and may overwrite gradients().
  virtual absl::Status gather_shards(const float* mine, float* full) = 0;

  // Seconds this rank has waited for others so far.
  virtual double wait_seconds() const = 0;
};

}  // namespace lockstep
