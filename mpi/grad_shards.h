// SPDX-License-Identifier: Apache-2.0
// Which rank owns what: the arithmetic that every transport of the gradient reducer shares. No communication.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/status.h"
#include "mpi/grad_reducer.h"

namespace lockstep {

// Shards and strides begin at multiples of this many floats: a cache line has one owner, and vector loads are aligned.
inline constexpr int64_t kShardGranule = 16;

// The part of `bucket` that `rank` of `ranks` owns. The shards tile the bucket in rank order, cut at multiples of
// kShardGranule of the flat buffer, and differ in length by less than two granules; some may be empty.
Bucket shard_range(const Bucket& bucket, int rank, int ranks);

// The plan of one job: checked buckets, and the partial sums that each rank holds.
struct GradPlan {
  int rank = 0, ranks = 1;
  int64_t parameters = 0;
  int64_t stride = 0;  // parameters rounded up to the granule
  std::vector<Bucket> buckets;
  std::vector<std::vector<int>> subtrees;  // [rank]: slices of each partial sum, left to right

  int bucket_count() const { return static_cast<int>(buckets.size()); }
  Bucket shard(int bucket, int of_rank) const {
    return shard_range(buckets[static_cast<size_t>(bucket)], of_rank, ranks);
  }
  Bucket my_shard(int bucket) const { return shard(bucket, rank); }
  const std::vector<int>& subtrees_of(int of_rank) const { return subtrees[static_cast<size_t>(of_rank)]; }
  int64_t gradient_floats(int of_rank) const { return stride * static_cast<int64_t>(subtrees_of(of_rank).size()); }

  // Of transports that receive the partial sums of the others for this rank's shards: how many there are, the floats
  // from one to the next within a bucket (whole cache lines, so that each starts aligned), and all of them together.
  int foreign_subtrees() const;
  int64_t term_stride(int bucket) const;
  int64_t foreign_floats() const;
  // Per bucket, where its received partial sums start in that room: the others' terms one after the other, by rank.
  std::vector<int64_t> foreign_offsets() const;
  // My shard with all its terms: my own partial sums in `gradients` (flat, as GradReducer::gradients()), the others' in
  // `foreign` (the bucket's place in the room).
  Shard shard_with_terms(int bucket, const float* gradients, const float* foreign) const;
};

// Errors: InvalidArgument when the buckets do not tile [0, parameters), slices is no power of two or below `ranks`.
absl::StatusOr<GradPlan> make_grad_plan(int rank, int ranks, int slices, int64_t parameters,
                                        std::vector<Bucket> buckets);

}  // namespace lockstep
