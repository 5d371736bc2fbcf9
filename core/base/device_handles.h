// SPDX-License-Identifier: Apache-2.0
// Owners of a device's streams, events and graphs. Move-only; the device must outlive them.
#pragma once

#include <utility>

#include "core/base/device.h"

namespace lockstep {

template <typename Handle>
class OwnedHandle {
 public:
  OwnedHandle() = default;
  OwnedHandle(Device& device, Handle handle) : device_(&device), handle_(handle) {}
  OwnedHandle(OwnedHandle&& other) noexcept { swap(other); }
  OwnedHandle& operator=(OwnedHandle&& other) noexcept {
    OwnedHandle(std::move(other)).swap(*this);
    return *this;
  }
  ~OwnedHandle() {
    if (handle_.native != nullptr) device_->destroy(handle_);
  }

  Handle get() const { return handle_; }
  explicit operator bool() const { return handle_.native != nullptr; }

 private:
  void swap(OwnedHandle& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(handle_, other.handle_);
  }

  Device* device_ = nullptr;
  Handle handle_;
};

using OwnedStream = OwnedHandle<DeviceStream>;
using OwnedEvent = OwnedHandle<DeviceEvent>;
using OwnedGraph = OwnedHandle<DeviceGraph>;

inline absl::StatusOr<OwnedStream> make_stream(Device& device) {
  LOCKSTEP_ASSIGN_OR_RETURN(const DeviceStream stream, device.create_stream());
  return OwnedStream(device, stream);
}
inline absl::StatusOr<OwnedEvent> make_event(Device& device) {
  LOCKSTEP_ASSIGN_OR_RETURN(const DeviceEvent event, device.create_event());
  return OwnedEvent(device, event);
}

}  // namespace lockstep
