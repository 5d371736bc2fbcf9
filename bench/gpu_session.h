// SPDX-License-Identifier: Apache-2.0
// The GPU that a benchmark runs on, and its clock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/bench_row.h"
#include "core/base/device.h"
#include "core/base/status.h"
#include "kernels/backend.h"
#include "kernels/cuda_library.h"

namespace lockstep {

// What a benchmark of GPUs does where there is none: says "not run: <reason>" and succeeds; with LOCKSTEP_REQUIRE_GPU=1
// in the environment the reason is an error.
absl::Status not_run(const absl::Status& reason);

// As many calls as take about a millisecond, beside which launching the graph and the clock's steps do not count; at
// most 1000, which is more than a kernel's launch inside of a graph lets a millisecond hold.
int calls_of_a_run(double seconds_per_call);

class GpuSession {
 public:
  // The first GPU that the process sees. FailedPrecondition or NotFound: there is none, or no CUDA library.
  static absl::StatusOr<std::unique_ptr<GpuSession>> open();
  // Of this library, which must live longer.
  static absl::StatusOr<std::unique_ptr<GpuSession>> open(const CudaLibrary& library);
  ~GpuSession();

  const CudaLibrary& library() const { return *library_; }
  Device& device() const { return *device_; }
  DeviceStream stream() const { return stream_; }
  // Whether times mean anything: not on the emulator.
  bool keeps_time() const { return !library_->emulated; }
  // With this session's stream, without workspace.
  DeviceContext context(Backend backend) const;

  // A row that names this GPU.
  BenchRow row(const std::string& bench, const std::string& name) const;

  // Seconds by the device's clock of one call of `enqueue`, which enqueues on stream(), for each of `runs` runs; a run
  // is `calls` calls in one graph, so that the host is not in the way. Before the first run it is called once outside
  // of a graph. On the emulator each call runs, and there are no seconds.
  using Enqueue = std::function<absl::Status()>;
  absl::StatusOr<std::vector<double>> time(const Enqueue& enqueue, int calls, int runs);
  // The same with calls_of_a_run() calls.
  absl::StatusOr<std::vector<double>> time(const Enqueue& enqueue, int runs);

 private:
  GpuSession() = default;
  absl::StatusOr<DeviceGraph> capture(const Enqueue& enqueue, int calls);
  absl::StatusOr<std::vector<double>> time_graph(DeviceGraph graph, int calls, int runs);

  const CudaLibrary* library_ = nullptr;
  std::unique_ptr<Device> device_;
  DeviceStream stream_;
  DeviceEvent begin_, end_;
};

}  // namespace lockstep
