// SPDX-License-Identifier: Apache-2.0
// Ranks anywhere: partial sums travel as messages straight from the gradients to the owners of the shards, new weights
// straight into the weights of everyone else. Transfers advance whenever the training loop polls or waits.
//
// When a posted receive or send may touch its buffer:
// - Gradients of b are read by my sends from start_reduce_scatter(b) until wait_all_gather(b), which also waits for
// these
//   sends. The contract lets backward write them only after that.
// - The receive buffers of b's terms are filled from begin_step on; Adam of the step before has read them by then
//   (start_all_gather came after).
// - Weights of b outside my shard are received from start_reduce_scatter(b) on, when this rank no longer reads them.
// - Weights of my shard are read by my sends from start_all_gather(b) until the next wait_reduce_scatter(b), which
// waits
//   for these sends before it lets Adam write.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "mpi/backoff.h"
#include "mpi/bucket_phase.h"
#include "mpi/message_port.h"
#include "mpi/page_buffer.h"
#include "mpi/transports.h"
#include "mpi/wait_meter.h"

namespace lockstep {
namespace {

constexpr int kVoteTag = 0;
constexpr int kStateTag = 1;
constexpr int kFirstBucketTag = 2;
constexpr std::chrono::seconds kLastSendsTimeout{2};

using Requests = std::vector<MessageRequest>;

// What is under way for one bucket.
struct BucketTransfers {
  Requests term_receives, term_sends, weight_receives, weight_sends;
};

class MpiGradReducer : public GradReducer {
 public:
  MpiGradReducer(Communicator& communicator, GradPlan plan, PageBuffer weights, PageBuffer gradients,
                 PageBuffer foreign_terms);
  ~MpiGradReducer() override;

  std::string_view transport() const override { return "mpi"; }
  float* weights() override { return weights_.data(); }
  float* gradients() override { return gradients_.data(); }
  int64_t gradient_stride() const override { return plan_.stride; }
  const float* gradients_of(int) override { return nullptr; }

  void begin_step(uint32_t control) override;
  uint32_t control() const override { return control_; }
  absl::Status start_reduce_scatter(int bucket) override;
  bool reduce_scatter_ready(int bucket) override;
  absl::StatusOr<Shard> wait_reduce_scatter(int bucket) override;
  absl::Status start_all_gather(int bucket) override;
  absl::Status wait_all_gather(int bucket) override;

  Bucket shard_of(int bucket, int rank) const override { return plan_.shard(bucket, rank); }
  absl::Status gather_shards(const float* mine, float* full) override;

  double wait_seconds() const override { return meter_.seconds(); }

 private:
  static size_t bytes_of(const Bucket& shard) { return static_cast<size_t>(shard.size) * sizeof(float); }
  BucketTransfers& transfers(int bucket) { return transfers_[static_cast<size_t>(bucket)]; }
  // Per bucket a tag for each subtree of the sender, and one for the weights.
  int tag(int bucket, int kind) const { return kFirstBucketTag + bucket * tags_per_bucket_ + kind; }
  int weights_tag(int bucket) const { return tag(bucket, tags_per_bucket_ - 1); }

  template <typename Action>
  absl::Status for_each_peer(Action&& action);
  absl::Status send(int to, int tag, const void* data, size_t bytes, Requests* list);
  absl::Status receive(int from, int tag, void* data, size_t bytes, Requests* list);
  absl::StatusOr<bool> finished(Requests* list);
  void cancel_all(Requests* list);
  absl::Status exchange_votes(uint32_t control);
  absl::Status receive_terms(int bucket);
  absl::StatusOr<bool> terms_arrived(int bucket);
  Shard shard_terms(int bucket) const;
  absl::Status send_state(const float* mine, Requests* list);
  absl::Status receive_state(float* full, Requests* list);

  Communicator& communicator_;
  MessagePort& port_;
  const GradPlan plan_;
  int tags_per_bucket_ = 0;
  PageBuffer weights_, gradients_;
  // Partial sums of the others for my shards: of bucket b from foreign_offset_[b] on, one after the other, by rank.
  PageBuffer foreign_terms_;
  std::vector<int64_t> foreign_offset_;
  BucketPhases phases_;
  WaitMeter meter_;
  std::vector<BucketTransfers> transfers_;
  std::vector<uint32_t> votes_;  // [rank]
  Requests vote_requests_;
  uint32_t my_vote_ = 0, control_ = 0;
  absl::Status step_status_;  // of begin_step, which cannot return it
};

int most_subtrees(const GradPlan& plan) {
  size_t most = 0;
  for (const auto& sizes : plan.subtrees) most = std::max(most, sizes.size());
  return static_cast<int>(most);
}

MpiGradReducer::MpiGradReducer(Communicator& communicator, GradPlan plan, PageBuffer weights, PageBuffer gradients,
                               PageBuffer foreign_terms)
    : communicator_(communicator),
      port_(*communicator.messages()),
      plan_(std::move(plan)),
      tags_per_bucket_(most_subtrees(plan_) + 1),
      weights_(std::move(weights)),
      gradients_(std::move(gradients)),
      foreign_terms_(std::move(foreign_terms)),
      foreign_offset_(plan_.foreign_offsets()),
      phases_(plan_.bucket_count()),
      meter_(communicator),
      transfers_(plan_.buckets.size()),
      votes_(static_cast<size_t>(plan_.ranks)) {}

MpiGradReducer::~MpiGradReducer() {
  // Slower ranks may still be fetching the last weights from here; they wait for nothing but that. Not for ever: on the
  // way out after an error they may not come.
  const auto deadline = std::chrono::steady_clock::now() + kLastSendsTimeout;
  Backoff backoff;
  for (BucketTransfers& t : transfers_)
    while (phases_.all_idle() && !finished(&t.weight_sends).value_or(true) &&
           std::chrono::steady_clock::now() < deadline)
      backoff.pause();
  cancel_all(&vote_requests_);
  for (BucketTransfers& t : transfers_)
    for (Requests* list : {&t.term_receives, &t.term_sends, &t.weight_receives, &t.weight_sends}) cancel_all(list);
}

void MpiGradReducer::cancel_all(Requests* list) {
  for (MessageRequest& request : *list) port_.cancel(&request);
}

// In a different order on each rank, so that not all of them turn to rank 0 first.
template <typename Action>
absl::Status MpiGradReducer::for_each_peer(Action&& action) {
  for (int i = 1; i < plan_.ranks; ++i) LOCKSTEP_RETURN_IF_ERROR(action((plan_.rank + i) % plan_.ranks));
  return absl::OkStatus();
}

absl::Status MpiGradReducer::send(int to, int tag, const void* data, size_t bytes, Requests* list) {
  if (bytes == 0) return absl::OkStatus();
  return port_.send(to, tag, data, bytes, &list->emplace_back());
}

absl::Status MpiGradReducer::receive(int from, int tag, void* data, size_t bytes, Requests* list) {
  if (bytes == 0) return absl::OkStatus();
  return port_.receive(from, tag, data, bytes, &list->emplace_back());
}

// Looks no further than the first transfer under way: testing that one has driven all of them.
absl::StatusOr<bool> MpiGradReducer::finished(Requests* list) {
  while (!list->empty()) {
    LOCKSTEP_ASSIGN_OR_RETURN(const bool done, port_.test(&list->back()));
    if (!done) return false;
    list->pop_back();
  }
  return true;
}

absl::Status MpiGradReducer::exchange_votes(uint32_t control) {
  LOCKSTEP_CHECK(vote_requests_.empty());  // the step before waited for them
  my_vote_ = control;
  votes_[static_cast<size_t>(plan_.rank)] = control;
  return for_each_peer([&](int peer) -> absl::Status {
    uint32_t* slot = &votes_[static_cast<size_t>(peer)];
    LOCKSTEP_RETURN_IF_ERROR(receive(peer, kVoteTag, slot, sizeof(*slot), &vote_requests_));
    return send(peer, kVoteTag, &my_vote_, sizeof(my_vote_), &vote_requests_);
  });
}

// Early, so that no partial sum arrives unexpected and has to be buffered.
absl::Status MpiGradReducer::receive_terms(int bucket) {
  const size_t bytes = bytes_of(plan_.my_shard(bucket));
  float* term = foreign_terms_.data() + foreign_offset_[static_cast<size_t>(bucket)];
  for (int rank = 0; rank < plan_.ranks; ++rank) {
    if (rank == plan_.rank) continue;
    for (size_t t = 0; t < plan_.subtrees_of(rank).size(); ++t, term += plan_.term_stride(bucket))
      LOCKSTEP_RETURN_IF_ERROR(
          receive(rank, tag(bucket, static_cast<int>(t)), term, bytes, &transfers(bucket).term_receives));
  }
  return absl::OkStatus();
}

void MpiGradReducer::begin_step(uint32_t control) {
  phases_.begin_step();
  step_status_ = exchange_votes(control);
  for (int bucket = 0; bucket < plan_.bucket_count() && step_status_.ok(); ++bucket)
    step_status_ = receive_terms(bucket);
}

absl::Status MpiGradReducer::start_reduce_scatter(int bucket) {
  phases_.start_reduce(bucket);
  LOCKSTEP_RETURN_IF_ERROR(step_status_);
  BucketTransfers& t = transfers(bucket);
  return for_each_peer([&](int peer) -> absl::Status {
    const Bucket theirs = plan_.shard(bucket, peer);
    for (size_t i = 0; i < plan_.subtrees_of(plan_.rank).size(); ++i) {
      const float* term = gradients() + static_cast<int64_t>(i) * plan_.stride + theirs.offset;
      LOCKSTEP_RETURN_IF_ERROR(send(peer, tag(bucket, static_cast<int>(i)), term, bytes_of(theirs), &t.term_sends));
    }
    return receive(peer, weights_tag(bucket), weights() + theirs.offset, bytes_of(theirs), &t.weight_receives);
  });
}

absl::StatusOr<bool> MpiGradReducer::terms_arrived(int bucket) {
  LOCKSTEP_ASSIGN_OR_RETURN(const bool votes, finished(&vote_requests_));
  if (!votes) return false;
  LOCKSTEP_ASSIGN_OR_RETURN(const bool terms, finished(&transfers(bucket).term_receives));
  if (!terms) return false;
  // Adam is about to overwrite what the all-gather of the step before sends.
  return finished(&transfers(bucket).weight_sends);
}

bool MpiGradReducer::reduce_scatter_ready(int bucket) {
  const absl::StatusOr<bool> arrived = terms_arrived(bucket);
  return !arrived.ok() || *arrived;  // wait_reduce_scatter reports the error
}

absl::StatusOr<Shard> MpiGradReducer::wait_reduce_scatter(int bucket) {
  LOCKSTEP_CHECK(phases_.reducing(bucket));
  LOCKSTEP_RETURN_IF_ERROR(meter_.wait("gradients", bucket, [&] { return terms_arrived(bucket); }));
  phases_.finish_reduce(bucket);
  control_ = 0;
  for (const uint32_t vote : votes_) control_ |= vote;
  return shard_terms(bucket);
}

Shard MpiGradReducer::shard_terms(int bucket) const {
  return plan_.shard_with_terms(bucket, gradients_.data(),
                                foreign_terms_.data() + foreign_offset_[static_cast<size_t>(bucket)]);
}

absl::Status MpiGradReducer::start_all_gather(int bucket) {
  phases_.start_gather(bucket);
  const Bucket own = plan_.my_shard(bucket);
  return for_each_peer([&](int peer) {
    return send(peer, weights_tag(bucket), weights() + own.offset, bytes_of(own), &transfers(bucket).weight_sends);
  });
}

absl::Status MpiGradReducer::wait_all_gather(int bucket) {
  if (!phases_.gathering(bucket)) return absl::OkStatus();
  BucketTransfers& t = transfers(bucket);
  LOCKSTEP_RETURN_IF_ERROR(meter_.wait("weights", bucket, [&]() -> absl::StatusOr<bool> {
    LOCKSTEP_ASSIGN_OR_RETURN(const bool received, finished(&t.weight_receives));
    if (!received) return false;
    return finished(&t.term_sends);
  }));
  phases_.finish_gather(bucket);
  return absl::OkStatus();
}

absl::Status MpiGradReducer::send_state(const float* mine, Requests* list) {
  for (int bucket = 0; bucket < plan_.bucket_count(); ++bucket) {
    const Bucket own = plan_.my_shard(bucket);
    LOCKSTEP_RETURN_IF_ERROR(send(0, kStateTag, mine + own.offset, bytes_of(own), list));
  }
  return absl::OkStatus();
}

absl::Status MpiGradReducer::receive_state(float* full, Requests* list) {
  for (int bucket = 0; bucket < plan_.bucket_count(); ++bucket)
    for (int rank = 1; rank < plan_.ranks; ++rank) {
      const Bucket theirs = plan_.shard(bucket, rank);
      LOCKSTEP_RETURN_IF_ERROR(receive(rank, kStateTag, full + theirs.offset, bytes_of(theirs), list));
    }
  return absl::OkStatus();
}

absl::Status MpiGradReducer::gather_shards(const float* mine, float* full) {
  for (int bucket = 0; bucket < plan_.bucket_count(); ++bucket) LOCKSTEP_RETURN_IF_ERROR(wait_all_gather(bucket));
  Requests requests;
  if (plan_.rank != 0) {
    LOCKSTEP_RETURN_IF_ERROR(send_state(mine, &requests));
  } else {
    LOCKSTEP_RETURN_IF_ERROR(receive_state(full, &requests));
    for (int bucket = 0; bucket < plan_.bucket_count(); ++bucket) {
      const Bucket own = plan_.my_shard(bucket);
      if (mine != full) std::memcpy(full + own.offset, mine + own.offset, bytes_of(own));
    }
  }
  const absl::Status status =
      communicator_.wait_for_others("gathering optimizer state", [&] { return finished(&requests); });
  cancel_all(&requests);
  return status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<GradReducer>> make_mpi_grad_reducer(Communicator& communicator, GradPlan plan) {
  LOCKSTEP_CHECK(communicator.messages() != nullptr);
  const int64_t last_tag = kFirstBucketTag + int64_t{plan.bucket_count()} * (most_subtrees(plan) + 1);
  if (last_tag >= MessagePort::kTags)
    return absl::InvalidArgumentError(fmt::format("{} buckets are too many for messages", plan.bucket_count()));
  LOCKSTEP_ASSIGN_OR_RETURN(PageBuffer weights, PageBuffer::allocate(plan.stride));
  LOCKSTEP_ASSIGN_OR_RETURN(PageBuffer gradients, PageBuffer::allocate(plan.gradient_floats(plan.rank)));
  LOCKSTEP_ASSIGN_OR_RETURN(PageBuffer foreign, PageBuffer::allocate(plan.foreign_floats()));
  return std::make_unique<MpiGradReducer>(communicator, std::move(plan), std::move(weights), std::move(gradients),
                                          std::move(foreign));
}

}  // namespace lockstep
