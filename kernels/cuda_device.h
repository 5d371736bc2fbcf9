// SPDX-License-Identifier: Apache-2.0
// Devices over the CUDA runtime, and over the emulator, which has the same calls. No CUDA header here.
#pragma once

#include <memory>
#include <string>

#include "core/base/device.h"
#include "core/base/status.h"

namespace lockstep {

// GPUs that this process sees, at least 1. FailedPrecondition: no driver, a driver too old, or no device.
absl::StatusOr<int> cuda_device_count();
// Tells GPU `index` from all others of its host, whatever CUDA_VISIBLE_DEVICES hides: its PCI address.
absl::StatusOr<std::string> cuda_device_id(int index);
// The device becomes the one of the calling thread, which must be the one that uses it.
absl::StatusOr<std::unique_ptr<Device>> make_cuda_device(int index);

}  // namespace lockstep
