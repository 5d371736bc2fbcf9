// SPDX-License-Identifier: Apache-2.0
// The device memory of a gradient reducer.
#pragma once

#include "core/base/device.h"
#include "core/base/status.h"
#include "mpi/grad_shards.h"

namespace lockstep {

struct DeviceGradBuffers {
  DeviceBuffer<float> weights, gradients;
  DeviceBuffer<float> foreign_terms;  // laid out as foreign_offsets() says

  // Zeroed on `stream`: gaps between parameters stay zero for ever.
  static absl::StatusOr<DeviceGradBuffers> allocate(const GradPlan& plan, Device& device, DeviceStream stream);
};

}  // namespace lockstep
