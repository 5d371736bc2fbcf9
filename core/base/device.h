// SPDX-License-Identifier: Apache-2.0
// A GPU's memory, streams, events and graphs behind one interface, so that nothing above `kernels` and `mpi` names
// CUDA and a program that does not use a GPU loads no CUDA library.
//
// Work on a stream runs in the order in which it was enqueued; calls with a stream return before it is done unless they
// say otherwise. Errors of enqueued work may appear at any later call; they name the call that saw them. One thread at
// a time, unless a method says otherwise. Handles belong to the device that made them and are destroyed before it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/status.h"

namespace lockstep {

// What the CUDA runtime calls cudaStream_t, cudaEvent_t and cudaGraphExec_t; null is "none".
struct DeviceStream {
  void* native = nullptr;
};
struct DeviceEvent {
  void* native = nullptr;
};
struct DeviceGraph {
  void* native = nullptr;
};

struct DeviceMemoryInfo {
  int64_t free_bytes = 0;
  int64_t total_bytes = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  // "NVIDIA H100 80GB HBM3 (sm_90)", "emulated GPU".
  virtual const std::string& name() const = 0;
  virtual absl::StatusOr<DeviceMemoryInfo> memory() const = 0;

  // 256-byte aligned device memory, contents undefined (the emulator fills it with NaN). ResourceExhausted names the
  // bytes wanted and free. release(null) does nothing; both wait for no stream: release only what no enqueued work
  // uses.
  virtual absl::StatusOr<void*> allocate(size_t bytes) = 0;
  virtual void release(void* memory) = 0;
  // Host memory that copies need not stage.
  virtual absl::StatusOr<void*> allocate_pinned(size_t bytes) = 0;
  virtual void release_pinned(void* memory) = 0;

  virtual absl::StatusOr<DeviceStream> create_stream() = 0;
  virtual void destroy(DeviceStream stream) = 0;
  // Host to device, device to host or device to device. Host memory must stay as it is until the stream has done it;
  // only pinned memory is copied without blocking the caller.
  virtual absl::Status copy(void* to, const void* from, size_t bytes, DeviceStream stream) = 0;
  virtual absl::Status fill_zero(void* memory, size_t bytes, DeviceStream stream) = 0;
  // Blocks until everything enqueued on the stream is done.
  virtual absl::Status synchronize(DeviceStream stream) = 0;

  virtual absl::StatusOr<DeviceEvent> create_event() = 0;
  virtual void destroy(DeviceEvent event) = 0;
  // The event happens when the stream has done what was enqueued before.
  virtual absl::Status record(DeviceEvent event, DeviceStream stream) = 0;
  // The stream goes on only after the event; the host does not wait.
  virtual absl::Status wait(DeviceStream stream, DeviceEvent event) = 0;
  // Whether the event has happened. Never blocks.
  virtual absl::StatusOr<bool> happened(DeviceEvent event) = 0;
  // An event that knows when it happened, by the device's clock; costs a little more.
  virtual absl::StatusOr<DeviceEvent> create_timed_event() = 0;
  // Between two timed events that have happened.
  virtual absl::StatusOr<double> seconds_between(DeviceEvent begin, DeviceEvent end) = 0;

  // Between the two, what is enqueued on `stream`, and on streams that wait for its events, is recorded instead of run.
  virtual absl::Status begin_capture(DeviceStream stream) = 0;
  virtual absl::StatusOr<DeviceGraph> end_capture(DeviceStream stream) = 0;
  virtual void destroy(DeviceGraph graph) = 0;
  virtual absl::Status launch(DeviceGraph graph, DeviceStream stream) = 0;
};

// Owns device memory (or pinned host memory) for `size` elements of T. Move-only; the device must outlive it.
template <typename T>
class DeviceBuffer {
 public:
  enum class Kind { kDevice, kPinned };

  DeviceBuffer() = default;
  DeviceBuffer(DeviceBuffer&& other) noexcept { swap(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    DeviceBuffer(std::move(other)).swap(*this);
    return *this;
  }
  ~DeviceBuffer() {
    if (data_ == nullptr) return;
    kind_ == Kind::kDevice ? device_->release(data_) : device_->release_pinned(data_);
  }

  static absl::StatusOr<DeviceBuffer> allocate(Device& device, size_t size, Kind kind = Kind::kDevice) {
    DeviceBuffer buffer;
    buffer.device_ = &device;
    buffer.size_ = size;
    buffer.kind_ = kind;
    if (size == 0) return buffer;
    LOCKSTEP_ASSIGN_OR_RETURN(void* const memory, kind == Kind::kDevice ? device.allocate(size * sizeof(T))
                                                                        : device.allocate_pinned(size * sizeof(T)));
    buffer.data_ = static_cast<T*>(memory);
    return buffer;
  }

  T* data() const { return data_; }
  size_t size() const { return size_; }
  size_t bytes() const { return size_ * sizeof(T); }

 private:
  void swap(DeviceBuffer& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(kind_, other.kind_);
  }

  Device* device_ = nullptr;
  T* data_ = nullptr;
  size_t size_ = 0;
  Kind kind_ = Kind::kDevice;
};

}  // namespace lockstep
