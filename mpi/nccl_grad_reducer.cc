// SPDX-License-Identifier: Apache-2.0
// All transfers of one kind and bucket are one NCCL group, so that they share one launch and no rank's order of sends
// and receives can block another's.
#include "mpi/nccl_grad_reducer.h"

#include <utility>

#include "mpi/device_grad_buffers.h"
#include "mpi/nccl_communicator.h"

namespace lockstep {
namespace {

// What both ways of summing share: buffers and stream.
class NcclReducerBase : public DeviceGradReducer {
 public:
  NcclReducerBase(GradPlan plan, DeviceGradBuffers buffers, std::unique_ptr<NcclCommunicator> nccl, DeviceStream stream)
      : plan_(std::move(plan)), buffers_(std::move(buffers)), nccl_(std::move(nccl)), stream_(stream) {}

  float* weights() override { return buffers_.weights.data(); }
  float* gradients() override { return buffers_.gradients.data(); }
  int64_t gradient_stride() const override { return plan_.stride; }
  absl::Status check() override { return nccl_->check(); }
  void abort() override { nccl_->abort(); }

 protected:
  absl::Status send(const float* data, int64_t count, int peer) {
    return count == 0 ? absl::OkStatus() : nccl_->send(data, count, peer, stream_);
  }
  absl::Status receive(float* data, int64_t count, int peer) {
    return count == 0 ? absl::OkStatus() : nccl_->receive(data, count, peer, stream_);
  }

  const GradPlan plan_;
  const DeviceGradBuffers buffers_;
  const std::unique_ptr<NcclCommunicator> nccl_;
  const DeviceStream stream_;
};

class OrderedNcclReducer : public NcclReducerBase {
 public:
  using NcclReducerBase::NcclReducerBase;

  std::string_view transport() const override { return "nccl"; }

  absl::Status reduce_scatter(int bucket) override {
    return nccl_->group("reduce-scatter of gradients", [&] {
      for (int peer = 0; peer < plan_.ranks; ++peer) {
        if (peer != plan_.rank) LOCKSTEP_RETURN_IF_ERROR(exchange_terms(bucket, peer));
      }
      return absl::OkStatus();
    });
  }

  Shard shard(int bucket) const override {
    return plan_.shard_with_terms(bucket, buffers_.gradients.data(), foreign_terms(bucket));
  }

  absl::Status all_gather(int bucket) override {
    const Bucket own = plan_.my_shard(bucket);
    const Bucket& all = plan_.buckets[static_cast<size_t>(bucket)];
    float* const weights = buffers_.weights.data();
    return nccl_->group("all-gather of weights", [&]() -> absl::Status {
      if (shards_are_equal(bucket))
        return nccl_->all_gather(weights + own.offset, own.size, weights + all.offset, stream_);
      for (int peer = 0; peer < plan_.ranks; ++peer) {
        if (peer == plan_.rank) continue;
        const Bucket theirs = plan_.shard(bucket, peer);
        LOCKSTEP_RETURN_IF_ERROR(send(weights + own.offset, own.size, peer));
        LOCKSTEP_RETURN_IF_ERROR(receive(weights + theirs.offset, theirs.size, peer));
      }
      return absl::OkStatus();
    });
  }

  Bucket shard_of(int bucket, int rank) const override { return plan_.shard(bucket, rank); }

  absl::Status gather_shards(const float* mine, float* full) override {
    return nccl_->group("gathering optimizer state", [&] {
      for (int bucket = 0; bucket < plan_.bucket_count(); ++bucket)
        LOCKSTEP_RETURN_IF_ERROR(gather_shard(bucket, mine, full));
      return absl::OkStatus();
    });
  }

 private:
  float* foreign_terms(int bucket) const {
    return buffers_.foreign_terms.data() + offsets_[static_cast<size_t>(bucket)];
  }

  // My partial sums of their shard against theirs of mine, left to right on both sides: NCCL matches transfers between
  // two ranks by their order.
  absl::Status exchange_terms(int bucket, int peer) {
    const Bucket theirs = plan_.shard(bucket, peer), own = plan_.my_shard(bucket);
    const float* mine = buffers_.gradients.data() + theirs.offset;
    for (size_t t = 0; t < plan_.subtrees_of(plan_.rank).size(); ++t, mine += plan_.stride)
      LOCKSTEP_RETURN_IF_ERROR(send(mine, theirs.size, peer));
    float* into = foreign_terms(bucket);
    for (int rank = 0; rank < peer; ++rank)
      if (rank != plan_.rank) into += static_cast<int64_t>(plan_.subtrees_of(rank).size()) * plan_.term_stride(bucket);
    for (size_t t = 0; t < plan_.subtrees_of(peer).size(); ++t, into += plan_.term_stride(bucket))
      LOCKSTEP_RETURN_IF_ERROR(receive(into, own.size, peer));
    return absl::OkStatus();
  }

  bool shards_are_equal(int bucket) const {
    for (int rank = 0; rank < plan_.ranks; ++rank)
      if (plan_.shard(bucket, rank).size != plan_.my_shard(bucket).size) return false;
    return true;
  }

  // A send to oneself is a copy.
  absl::Status gather_shard(int bucket, const float* mine, float* full) {
    const Bucket own = plan_.my_shard(bucket);
    if (plan_.rank != 0 || mine != full) LOCKSTEP_RETURN_IF_ERROR(send(mine + own.offset, own.size, 0));
    if (plan_.rank != 0) return absl::OkStatus();
    for (int rank = mine == full ? 1 : 0; rank < plan_.ranks; ++rank) {
      const Bucket theirs = plan_.shard(bucket, rank);
      LOCKSTEP_RETURN_IF_ERROR(receive(full + theirs.offset, theirs.size, rank));
    }
    return absl::OkStatus();
  }

  const std::vector<int64_t> offsets_ = plan_.foreign_offsets();
};

// The comparison: ncclAllReduce, and every rank updates all weights.
class AllReduceNcclReducer : public NcclReducerBase {
 public:
  using NcclReducerBase::NcclReducerBase;

  std::string_view transport() const override { return "nccl all-reduce"; }

  absl::Status reduce_scatter(int bucket) override {
    const Bucket& all = plan_.buckets[static_cast<size_t>(bucket)];
    return nccl_->group("all-reduce of gradients", [&] {
      return nccl_->all_reduce_sum(buffers_.gradients.data() + all.offset, all.size, stream_);
    });
  }
  Shard shard(int bucket) const override {
    const Bucket& all = plan_.buckets[static_cast<size_t>(bucket)];
    return {all.offset, all.offset + all.size, {{buffers_.gradients.data() + all.offset, 1}}};
  }
  absl::Status all_gather(int) override { return absl::OkStatus(); }

  Bucket shard_of(int bucket, int) const override { return plan_.buckets[static_cast<size_t>(bucket)]; }
  // Every rank holds everything; a send to oneself is a copy.
  absl::Status gather_shards(const float* mine, float* full) override {
    if (plan_.rank != 0 || mine == full) return absl::OkStatus();
    return nccl_->group("gathering optimizer state", [&] {
      LOCKSTEP_RETURN_IF_ERROR(send(mine, plan_.parameters, 0));
      return receive(full, plan_.parameters, 0);
    });
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceGradReducer>> make_nccl_grad_reducer(Communicator& communicator, GradPlan plan,
                                                                          Device& device, DeviceStream stream,
                                                                          const NcclReducerOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(auto nccl, NcclCommunicator::open(communicator, options.connect_timeout_s));
  LOCKSTEP_ASSIGN_OR_RETURN(auto buffers, DeviceGradBuffers::allocate(plan, device, stream));
  std::unique_ptr<DeviceGradReducer> reducer;
  if (options.ordered) {
    reducer = std::make_unique<OrderedNcclReducer>(std::move(plan), std::move(buffers), std::move(nccl), stream);
  } else {
    reducer = std::make_unique<AllReduceNcclReducer>(std::move(plan), std::move(buffers), std::move(nccl), stream);
  }
  return reducer;
}

}  // namespace lockstep
