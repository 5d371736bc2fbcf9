// SPDX-License-Identifier: Apache-2.0
// Launches the same work on a device again and again: enqueued call by call the first time (libraries load their
// kernels and connect their ranks then, which a capture would not survive), captured in a graph the second time, and
// one launch from then on.
#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "core/base/device.h"
#include "core/base/device_handles.h"
#include "core/base/status.h"

namespace lockstep {

class StepGraph {
 public:
  // wanted = false: call by call every time.
  StepGraph(Device& device, DeviceStream stream, bool wanted) : device_(device), stream_(stream) {
    if (!wanted) state_ = kDirect;
  }

  // Does what `enqueue` enqueues on the stream (and on streams that it forks from it and joins). Where that cannot be
  // captured, says so once in the log and goes on without a graph.
  absl::Status run(absl::FunctionRef<absl::Status()> enqueue);

  // Whether run() launches a graph from now on.
  bool captured() const { return state_ == kLaunch; }

 private:
  enum State { kFirst, kCapture, kLaunch, kDirect };
  absl::StatusOr<OwnedGraph> capture(absl::FunctionRef<absl::Status()> enqueue);
  absl::Status capture_and_launch(absl::FunctionRef<absl::Status()> enqueue);

  Device& device_;
  const DeviceStream stream_;
  State state_ = kFirst;
  OwnedGraph graph_;
};

}  // namespace lockstep
