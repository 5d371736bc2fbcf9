// SPDX-License-Identifier: Apache-2.0
// A CUDA library of fake devices and the emulated NCCL: what open_cuda_library() returns in the programs that link
// this.
#pragma once

#include <string>

#include "core/base/status.h"
#include "tests/support/fake_device.h"

namespace lockstep {

struct FakeCudaLibrary {
  absl::Status open_error;          // of open_cuda_library()
  absl::Status device_count_error;  // no driver
  int devices = 8;
  bool same_device = false;  // all of them are one GPU
  bool has_cudnn = false;
  bool has_nccl = true;
  double nccl_timeout_s = 60;
  FakeDeviceOptions device;

  // Graphs launched by the devices that were made; they report when they are destroyed.
  int64_t launches = 0;
};

// For this process; tests set it before they start ranks.
FakeCudaLibrary& fake_cuda_library();

}  // namespace lockstep
