// SPDX-License-Identifier: Apache-2.0
// Lets tests that are written for host memory run the operators of a GPU, real or emulated: for each call, every array
// goes to device memory of exactly its size and of the same alignment, the operator runs, outputs come back. Scratch
// memory is exactly what the operator's workspace function asks for.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "kernels/device_ops.h"

namespace lockstep {

class StagedDevice {
 public:
  // `real`: device, operators and stream; borrowed. `guard_bytes` around each array are checked after each call; the
  // emulator checks each access itself and needs none.
  StagedDevice(const DeviceContext& real, size_t guard_bytes);
  ~StagedDevice();
  StagedDevice(const StagedDevice&) = delete;
  StagedDevice& operator=(const StagedDevice&) = delete;

  // For KernelContext::device. Failures of a call, its run on the device included, are both returned and reported to
  // the test that runs.
  const DeviceContext& context() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lockstep
