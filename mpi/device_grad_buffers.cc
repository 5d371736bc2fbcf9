// SPDX-License-Identifier: Apache-2.0
#include "mpi/device_grad_buffers.h"

#include "mpi/device_grad_reducer.h"

namespace lockstep {
namespace {

absl::StatusOr<DeviceBuffer<float>> zeros(Device& device, int64_t floats, DeviceStream stream) {
  LOCKSTEP_ASSIGN_OR_RETURN(auto buffer, DeviceBuffer<float>::allocate(device, static_cast<size_t>(floats)));
  if (floats > 0) LOCKSTEP_RETURN_IF_ERROR(device.fill_zero(buffer.data(), buffer.bytes(), stream));
  return buffer;
}

}  // namespace

absl::StatusOr<DeviceGradBuffers> DeviceGradBuffers::allocate(const GradPlan& plan, Device& device,
                                                              DeviceStream stream) {
  DeviceGradBuffers buffers;
  LOCKSTEP_ASSIGN_OR_RETURN(buffers.weights, zeros(device, plan.stride, stream));
  LOCKSTEP_ASSIGN_OR_RETURN(buffers.gradients, zeros(device, plan.gradient_floats(plan.rank), stream));
  LOCKSTEP_ASSIGN_OR_RETURN(buffers.foreign_terms, zeros(device, plan.foreign_floats(), stream));
  return buffers;
}

int64_t device_grad_reducer_bytes(const GradPlan& plan) {
  const int64_t floats = plan.stride + plan.gradient_floats(plan.rank) + plan.foreign_floats();
  return floats * static_cast<int64_t>(sizeof(float));
}

}  // namespace lockstep
