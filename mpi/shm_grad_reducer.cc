// SPDX-License-Identifier: Apache-2.0
// All ranks on one host: gradients of every rank and one copy of the weights lie in memory that all of them map.
// Nothing is copied; ranks tell each other through step counters that what they wrote may be read.
//
// Why no rank reads what another one overwrites (b a bucket, s a step, A and B ranks):
// - Gradients, or what else A writes in their place. A writes b's of step s + 1 after its wait_all_gather(b) of step s
//   (contract). That returned because every owner B had published start_all_gather(b) of step s, which B does after it
//   has read A's.
// - Weights. B writes its shard of b in step s after wait_reduce_scatter(b), which returned because every A had
//   published start_reduce_scatter(b) of step s, which A does when it no longer reads b's weights (contract). A reads
//   them again after wait_all_gather(b), when every owner has published that it has written.
// - Votes. There are two slots, by parity of the step. A writes the slot of step s again in begin_step of s + 2. By
//   then A has started every reduce-scatter of s + 1 and so (checked) finished the all-gathers of s, to which B
//   contributed after its first wait_reduce_scatter of s, in which it read the votes of s.
// Counters are stored with release and loaded with acquire order, so what was written before is seen after.
#include <atomic>
#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "mpi/bucket_phase.h"
#include "mpi/page_buffer.h"
#include "mpi/shared_segment.h"
#include "mpi/transports.h"
#include "mpi/wait_meter.h"

namespace lockstep {
namespace {

size_t round_to(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

// Byte offsets in the segment: a board per rank, the weights, then the gradients of each rank, apart by whole huge
// pages: what is not written between them takes no memory.
struct SegmentLayout {
  explicit SegmentLayout(const GradPlan& plan) {
    // votes[2], reduced[buckets], gathered[buckets]. Two cache lines apart: the prefetcher fetches lines in pairs.
    board_bytes = round_to((2 + 2 * plan.buckets.size()) * sizeof(uint64_t), 128);
    weights = round_to(board_bytes * static_cast<size_t>(plan.ranks), PageBuffer::kHugePage);
    size_t at = weights + round_to(static_cast<size_t>(plan.stride) * sizeof(float), PageBuffer::kHugePage);
    for (int rank = 0; rank < plan.ranks; ++rank) {
      gradients.push_back(at);
      at += round_to(static_cast<size_t>(plan.gradient_floats(rank)) * sizeof(float), PageBuffer::kHugePage);
    }
    bytes = at;
  }
  size_t board_bytes = 0, weights = 0, bytes = 0;
  std::vector<size_t> gradients;  // [rank]
};

class ShmGradReducer : public GradReducer {
 public:
  ShmGradReducer(Communicator& communicator, GradPlan plan, SegmentLayout layout, PageBuffer segment)
      : communicator_(communicator),
        plan_(std::move(plan)),
        layout_(std::move(layout)),
        segment_(std::move(segment)),
        phases_(plan_.bucket_count()),
        meter_(communicator) {
    // First touch places the pages of a rank's gradients near that rank.
    const size_t bytes = static_cast<size_t>(plan_.gradient_floats(plan_.rank)) * sizeof(float);
    std::memset(gradients(), 0, bytes);
    const size_t begin = layout_.gradients[static_cast<size_t>(plan_.rank)];
    segment_.join_pages(begin, begin + bytes);
    segment_.join_pages(layout_.weights, layout_.gradients[0]);
  }

  std::string_view transport() const override { return "shm"; }
  float* weights() override { return floats_at(layout_.weights); }
  float* gradients() override { return partial_sums_of(plan_.rank); }
  int64_t gradient_stride() const override { return plan_.stride; }
  const float* gradients_of(int rank) override { return partial_sums_of(rank); }

  void begin_step(uint32_t control) override;
  uint32_t control() const override { return control_; }
  absl::Status start_reduce_scatter(int bucket) override;
  bool reduce_scatter_ready(int bucket) override { return all_published(kReduced, bucket); }
  absl::StatusOr<Shard> wait_reduce_scatter(int bucket) override;
  absl::Status start_all_gather(int bucket) override;
  absl::Status wait_all_gather(int bucket) override;

  Bucket shard_of(int bucket, int rank) const override { return plan_.shard(bucket, rank); }
  absl::Status gather_shards(const float* mine, float* full) override;

  double wait_seconds() const override { return meter_.seconds(); }

 private:
  enum Table { kReduced, kGathered };

  float* floats_at(size_t offset) { return segment_.data() + offset / sizeof(float); }
  float* partial_sums_of(int rank) { return floats_at(layout_.gradients[static_cast<size_t>(rank)]); }
  std::atomic_ref<uint64_t> word(int rank, size_t index) {
    auto* board = reinterpret_cast<uint64_t*>(floats_at(layout_.board_bytes * static_cast<size_t>(rank)));
    return std::atomic_ref<uint64_t>(board[index]);
  }
  std::atomic_ref<uint64_t> vote(int rank) { return word(rank, phases_.step() % 2); }
  std::atomic_ref<uint64_t> counter(Table table, int rank, int bucket) {
    return word(rank, 2 + static_cast<size_t>(table) * plan_.buckets.size() + static_cast<size_t>(bucket));
  }
  void publish(Table table, int bucket) {
    counter(table, plan_.rank, bucket).store(phases_.step(), std::memory_order_release);
  }
  bool all_published(Table table, int bucket);
  void read_votes();
  Shard shard_terms(int bucket);
  static_assert(std::atomic_ref<uint64_t>::is_always_lock_free);  // else it would not work between processes

  Communicator& communicator_;
  const GradPlan plan_;
  const SegmentLayout layout_;
  PageBuffer segment_;
  BucketPhases phases_;
  WaitMeter meter_;
  uint64_t votes_step_ = 0;
  uint32_t control_ = 0;
};

// For the bucket's latest step, which the all-gather may finish after the next step has begun.
bool ShmGradReducer::all_published(Table table, int bucket) {
  const uint64_t step = phases_.step_of(bucket);
  for (int rank = 0; rank < plan_.ranks; ++rank)
    if (counter(table, rank, bucket).load(std::memory_order_acquire) < step) return false;
  return true;
}

void ShmGradReducer::begin_step(uint32_t control) {
  phases_.begin_step();
  // Published by the release store of the first start_reduce_scatter.
  vote(plan_.rank).store(control, std::memory_order_relaxed);
}

absl::Status ShmGradReducer::start_reduce_scatter(int bucket) {
  phases_.start_reduce(bucket);
  publish(kReduced, bucket);
  return absl::OkStatus();
}

void ShmGradReducer::read_votes() {
  if (votes_step_ == phases_.step()) return;
  votes_step_ = phases_.step();
  control_ = 0;
  for (int rank = 0; rank < plan_.ranks; ++rank)
    control_ |= static_cast<uint32_t>(vote(rank).load(std::memory_order_relaxed));
}

Shard ShmGradReducer::shard_terms(int bucket) {
  const Bucket own = plan_.my_shard(bucket);
  Shard shard{own.offset, own.offset + own.size, {}};
  for (int rank = 0; rank < plan_.ranks; ++rank) {
    const float* term = gradients_of(rank) + own.offset;
    for (const int slices : plan_.subtrees_of(rank)) {
      shard.terms.push_back({term, slices});
      term += plan_.stride;
    }
  }
  return shard;
}

absl::StatusOr<Shard> ShmGradReducer::wait_reduce_scatter(int bucket) {
  LOCKSTEP_CHECK(phases_.reducing(bucket));
  LOCKSTEP_RETURN_IF_ERROR(
      meter_.wait("gradients", bucket, [&]() -> absl::StatusOr<bool> { return all_published(kReduced, bucket); }));
  phases_.finish_reduce(bucket);
  read_votes();
  return shard_terms(bucket);
}

absl::Status ShmGradReducer::start_all_gather(int bucket) {
  phases_.start_gather(bucket);
  publish(kGathered, bucket);
  return absl::OkStatus();
}

absl::Status ShmGradReducer::wait_all_gather(int bucket) {
  if (!phases_.gathering(bucket)) return absl::OkStatus();
  LOCKSTEP_RETURN_IF_ERROR(
      meter_.wait("weights", bucket, [&]() -> absl::StatusOr<bool> { return all_published(kGathered, bucket); }));
  phases_.finish_gather(bucket);
  return absl::OkStatus();
}

// Through the gradients, which nobody reads between steps.
absl::Status ShmGradReducer::gather_shards(const float* mine, float* full) {
  for (int bucket = 0; bucket < plan_.bucket_count(); ++bucket) LOCKSTEP_RETURN_IF_ERROR(wait_all_gather(bucket));
  const auto copy = [](const Bucket& shard, const float* from, float* to) {
    std::memcpy(to + shard.offset, from + shard.offset, static_cast<size_t>(shard.size) * sizeof(float));
  };
  for (int bucket = 0; bucket < plan_.bucket_count(); ++bucket) copy(plan_.my_shard(bucket), mine, gradients());
  LOCKSTEP_RETURN_IF_ERROR(communicator_.barrier("gathering optimizer state"));
  for (int rank = 0; plan_.rank == 0 && rank < plan_.ranks; ++rank)
    for (int bucket = 0; bucket < plan_.bucket_count(); ++bucket)
      copy(plan_.shard(bucket, rank), gradients_of(rank), full);
  return communicator_.barrier("gathering optimizer state");
}

}  // namespace

absl::StatusOr<std::unique_ptr<GradReducer>> make_shm_grad_reducer(Communicator& communicator, GradPlan plan) {
  SegmentLayout layout(plan);
  LOCKSTEP_ASSIGN_OR_RETURN(PageBuffer segment, open_shared_segment(communicator, layout.bytes));
  return std::make_unique<ShmGradReducer>(communicator, std::move(plan), std::move(layout), std::move(segment));
}

}  // namespace lockstep
