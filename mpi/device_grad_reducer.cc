// SPDX-License-Identifier: Apache-2.0
#include "mpi/device_grad_reducer.h"

#include <utility>

#include "core/base/check.h"
#include "mpi/device_grad_buffers.h"

namespace lockstep {
namespace {

class LocalDeviceGradReducer : public DeviceGradReducer {
 public:
  LocalDeviceGradReducer(GradPlan plan, DeviceGradBuffers buffers, Device& device, DeviceStream stream)
      : plan_(std::move(plan)), buffers_(std::move(buffers)), device_(device), stream_(stream) {}

  std::string_view transport() const override { return "local"; }
  float* weights() override { return buffers_.weights.data(); }
  float* gradients() override { return buffers_.gradients.data(); }
  int64_t gradient_stride() const override { return plan_.stride; }

  absl::Status reduce_scatter(int) override { return absl::OkStatus(); }
  Shard shard(int bucket) const override {
    return plan_.shard_with_terms(bucket, buffers_.gradients.data(), /*foreign=*/nullptr);
  }
  absl::Status all_gather(int) override { return absl::OkStatus(); }

  Bucket shard_of(int bucket, int rank) const override { return plan_.shard(bucket, rank); }
  absl::Status gather_shards(const float* mine, float* full) override {
    if (mine == full) return absl::OkStatus();
    return device_.copy(full, mine, static_cast<size_t>(plan_.parameters) * sizeof(float), stream_);
  }

  absl::Status check() override { return absl::OkStatus(); }
  void abort() override {}

 private:
  const GradPlan plan_;
  const DeviceGradBuffers buffers_;
  Device& device_;
  const DeviceStream stream_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceGradReducer>> make_local_device_grad_reducer(GradPlan plan, Device& device,
                                                                                  DeviceStream stream) {
  LOCKSTEP_CHECK_EQ(plan.ranks, 1);
  LOCKSTEP_ASSIGN_OR_RETURN(auto buffers, DeviceGradBuffers::allocate(plan, device, stream));
  return std::make_unique<LocalDeviceGradReducer>(std::move(plan), std::move(buffers), device, stream);
}

}  // namespace lockstep
