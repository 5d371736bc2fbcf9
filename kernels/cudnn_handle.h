// SPDX-License-Identifier: Apache-2.0
// cuDNN's handle of the GPU that the calling thread works on. No cuDNN header here.
#pragma once

#include <mutex>
#include <utility>

#include "core/base/device.h"
#include "core/base/status.h"

struct cudnnContext;

namespace lockstep {

// While it lives, the calling thread alone uses cuDNN, and the handle's work goes to `stream`. A thread may have
// several, of one stream: an operator calls another. Handles are made at their first use and kept as long as the
// process.
class CudnnUse {
 public:
  static absl::StatusOr<CudnnUse> on(DeviceStream stream);

  cudnnContext* handle() const { return handle_; }
  // Of the GPU among those that the process sees.
  int device() const { return device_; }

 private:
  CudnnUse(std::unique_lock<std::recursive_mutex> lock, cudnnContext* handle, int device)
      : lock_(std::move(lock)), handle_(handle), device_(device) {}

  std::unique_lock<std::recursive_mutex> lock_;
  cudnnContext* handle_;
  int device_;
};

}  // namespace lockstep
