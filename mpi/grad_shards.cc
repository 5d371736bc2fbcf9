// SPDX-License-Identifier: Apache-2.0
#include "mpi/grad_shards.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/slice_tree.h"

namespace lockstep {
namespace {

int64_t round_up(int64_t n) { return (n + kShardGranule - 1) / kShardGranule * kShardGranule; }

absl::Status check_slices(int ranks, int slices) {
  if (slices < 1 || (slices & (slices - 1)) != 0)
    return absl::InvalidArgumentError(fmt::format("grad_slices is {}: it must be a power of two", slices));
  if (ranks > slices)
    return absl::InvalidArgumentError(
        fmt::format("{} ranks share {} gradient slices: start at most {} ranks, or raise grad_slices (a power of two, "
                    "part of the run's configuration)",
                    ranks, slices, slices));
  return absl::OkStatus();
}

absl::Status check_tiling(int64_t parameters, std::vector<Bucket> buckets) {
  std::sort(buckets.begin(), buckets.end(), [](const Bucket& a, const Bucket& b) { return a.offset < b.offset; });
  int64_t at = 0;
  for (const Bucket& bucket : buckets) {
    if (bucket.offset != at || bucket.size <= 0)
      return absl::InvalidArgumentError(fmt::format(
          "buckets must tile the parameters: expected one at {}, found {} + {}", at, bucket.offset, bucket.size));
    at += bucket.size;
  }
  if (at != parameters)
    return absl::InvalidArgumentError(fmt::format("buckets cover {} of {} parameters", at, parameters));
  return absl::OkStatus();
}

}  // namespace

Bucket shard_range(const Bucket& bucket, int rank, int ranks) {
  const int64_t end = bucket.offset + bucket.size;
  const auto cut = [&](int at) {
    if (at == 0) return bucket.offset;  // the first cut is the bucket's edge, wherever that lies
    return std::min(end, round_up(bucket.offset + bucket.size * at / ranks));
  };
  const int64_t first = cut(rank);
  const int64_t last = rank + 1 == ranks ? end : cut(rank + 1);
  return {first, last - first};
}

int GradPlan::foreign_subtrees() const {
  size_t count = 0;
  for (int other = 0; other < ranks; ++other)
    if (other != rank) count += subtrees_of(other).size();
  return static_cast<int>(count);
}

int64_t GradPlan::term_stride(int bucket) const { return round_up(my_shard(bucket).size); }

int64_t GradPlan::foreign_floats() const {
  int64_t floats = 0;
  for (int bucket = 0; bucket < bucket_count(); ++bucket) floats += term_stride(bucket) * foreign_subtrees();
  return floats;
}

std::vector<int64_t> GradPlan::foreign_offsets() const {
  std::vector<int64_t> offsets;
  int64_t at = 0;
  for (int bucket = 0; bucket < bucket_count(); ++bucket) {
    offsets.push_back(at);
    at += term_stride(bucket) * foreign_subtrees();
  }
  return offsets;
}

Shard GradPlan::shard_with_terms(int bucket, const float* gradients, const float* foreign) const {
  const Bucket own = my_shard(bucket);
  Shard result{own.offset, own.offset + own.size, {}};
  const float* own_term = gradients + own.offset;
  for (int other = 0; other < ranks; ++other)
    for (const int slices : subtrees_of(other)) {
      const bool mine = other == rank;
      result.terms.push_back({mine ? own_term : foreign, slices});
      (mine ? own_term : foreign) += mine ? stride : term_stride(bucket);
    }
  return result;
}

absl::StatusOr<GradPlan> make_grad_plan(int rank, int ranks, int slices, int64_t parameters,
                                        std::vector<Bucket> buckets) {
  LOCKSTEP_RETURN_IF_ERROR(check_slices(ranks, slices));
  LOCKSTEP_RETURN_IF_ERROR(check_tiling(parameters, buckets));
  GradPlan plan;
  plan.rank = rank;
  plan.ranks = ranks;
  plan.parameters = parameters;
  plan.stride = round_up(parameters);
  plan.buckets = std::move(buckets);
  for (int r = 0; r < ranks; ++r) plan.subtrees.push_back(aligned_subtrees(slices_of_rank(r, ranks, slices)));
  return plan;
}

}  // namespace lockstep
