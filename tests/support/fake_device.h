// SPDX-License-Identifier: Apache-2.0
// A device in host memory, for tests of what is built on devices. A thread does the work of all its streams: any work
// whose turn its stream and the events it waits for allow, the next one drawn by a seed. So a wait that was forgotten
// shows as wrong numbers, as NaN (memory starts as NaN) or as a data race under ThreadSanitizer, and a host that reads
// before it has waited reads too early. Operators are the reference ones.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/base/device.h"
#include "core/base/status.h"
#include "kernels/device_ops.h"

namespace lockstep {

struct FakeDeviceOptions {
  uint64_t seed = 1;
  int64_t memory_bytes = int64_t{1} << 30;
  bool can_capture = true;
};

class FakeDevice : public Device {
 public:
  explicit FakeDevice(const FakeDeviceOptions& options = {});
  ~FakeDevice() override;

  const std::string& name() const override { return name_; }
  absl::StatusOr<DeviceMemoryInfo> memory() const override;
  absl::StatusOr<void*> allocate(size_t bytes) override;
  void release(void* memory) override;
  absl::StatusOr<void*> allocate_pinned(size_t bytes) override;
  void release_pinned(void* memory) override;
  absl::StatusOr<DeviceStream> create_stream() override;
  void destroy(DeviceStream stream) override;
  absl::Status copy(void* to, const void* from, size_t bytes, DeviceStream stream) override;
  absl::Status fill_zero(void* memory, size_t bytes, DeviceStream stream) override;
  absl::Status synchronize(DeviceStream stream) override;
  absl::StatusOr<DeviceEvent> create_event() override;
  void destroy(DeviceEvent event) override;
  absl::Status record(DeviceEvent event, DeviceStream stream) override;
  absl::Status wait(DeviceStream stream, DeviceEvent event) override;
  absl::StatusOr<bool> happened(DeviceEvent event) override;
  // It keeps no time.
  absl::StatusOr<DeviceEvent> create_timed_event() override { return no_clock(); }
  absl::StatusOr<double> seconds_between(DeviceEvent, DeviceEvent) override { return no_clock(); }
  absl::Status begin_capture(DeviceStream stream) override;
  absl::StatusOr<DeviceGraph> end_capture(DeviceStream stream) override;
  void destroy(DeviceGraph graph) override;
  absl::Status launch(DeviceGraph graph, DeviceStream stream) override;

  // Any other work. It may run on another thread, and many times if it is captured.
  using Work = std::function<absl::Status()>;
  static absl::Status enqueue(DeviceStream stream, Work work);

  // How many graphs were launched so far, and how much memory is taken.
  int64_t launches() const;
  int64_t allocated_bytes() const;

 private:
  static absl::Status no_clock() { return absl::UnimplementedError("the fake device keeps no time"); }

  struct Node;
  struct Capture;
  struct Stream;
  struct Event;
  using NodePtr = std::shared_ptr<Node>;

  absl::Status add(Stream& stream, Work work);
  void append(Stream& stream, const NodePtr& node);
  absl::StatusOr<void*> take(size_t bytes, bool pinned);
  void give_back(void* memory);
  void run();
  NodePtr next_ready();

  const std::string name_ = "fake GPU";
  const FakeDeviceOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<NodePtr> pending_;
  std::map<void*, size_t> allocations_;
  int64_t allocated_bytes_ = 0, launches_ = 0;
  uint64_t turns_ = 0;
  absl::Status error_;  // of the first work that failed; the device does nothing after it
  bool stop_ = false;
  std::thread worker_;
};

// The reference operators, as work of a FakeDevice's streams.
const DeviceOps& fake_device_ops();

}  // namespace lockstep
