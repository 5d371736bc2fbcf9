// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "mpi/bucket_phase.h"
#include "mpi/page_buffer.h"
#include "mpi/transports.h"

namespace lockstep {
namespace {

// The only rank owns every slice, so its one partial sum is the gradient.
class LocalGradReducer : public GradReducer {
 public:
  LocalGradReducer(GradPlan plan, PageBuffer weights, PageBuffer gradients)
      : plan_(std::move(plan)), weights_(std::move(weights)), gradients_(std::move(gradients)) {}

  std::string_view transport() const override { return "local"; }
  float* weights() override { return weights_.data(); }
  float* gradients() override { return gradients_.data(); }
  int64_t gradient_stride() const override { return plan_.stride; }
  const float* gradients_of(int) override { return gradients_.data(); }

  void begin_step(uint32_t control) override {
    phases_.begin_step();
    control_ = control;
  }
  uint32_t control() const override { return control_; }

  absl::Status start_reduce_scatter(int bucket) override {
    phases_.start_reduce(bucket);
    return absl::OkStatus();
  }
  bool reduce_scatter_ready(int) override { return true; }
  absl::StatusOr<Shard> wait_reduce_scatter(int bucket) override {
    phases_.finish_reduce(bucket);
    const Bucket own = plan_.my_shard(bucket);
    return Shard{own.offset, own.offset + own.size, {{gradients_.data() + own.offset, plan_.subtrees_of(0)[0]}}};
  }
  absl::Status start_all_gather(int bucket) override {
    phases_.start_gather(bucket);
    return absl::OkStatus();
  }
  absl::Status wait_all_gather(int bucket) override {
    if (phases_.gathering(bucket)) phases_.finish_gather(bucket);
    return absl::OkStatus();
  }

  Bucket shard_of(int bucket, int rank) const override { return plan_.shard(bucket, rank); }
  absl::Status gather_shards(const float* mine, float* full) override {
    if (mine != full) std::memcpy(full, mine, static_cast<size_t>(plan_.parameters) * sizeof(float));
    return absl::OkStatus();
  }

  double wait_seconds() const override { return 0; }

 private:
  const GradPlan plan_;
  PageBuffer weights_, gradients_;
  BucketPhases phases_{plan_.bucket_count()};
  uint32_t control_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GradReducer>> make_local_grad_reducer(GradPlan plan) {
  LOCKSTEP_CHECK_EQ(plan.ranks, 1);
  LOCKSTEP_ASSIGN_OR_RETURN(PageBuffer weights, PageBuffer::allocate(plan.stride));
  LOCKSTEP_ASSIGN_OR_RETURN(PageBuffer gradients, PageBuffer::allocate(plan.gradient_floats(0)));
  return std::make_unique<LocalGradReducer>(std::move(plan), std::move(weights), std::move(gradients));
}

}  // namespace lockstep
