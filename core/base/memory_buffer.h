// SPDX-License-Identifier: Apache-2.0
// One owned array in host memory or on a device: what lets the same code lay out a network in either. Move-only.
#pragma once

#include <cstddef>
#include <utility>

#include "core/base/aligned_buffer.h"
#include "core/base/device.h"

namespace lockstep {

template <typename T>
class MemoryBuffer {
 public:
  MemoryBuffer() = default;
  // Host memory, zero-filled.
  explicit MemoryBuffer(size_t size) : host_(size) {}

  // Host memory where `device` is null (zero-filled), else the device's (contents undefined).
  static absl::StatusOr<MemoryBuffer> allocate(Device* device, size_t size) {
    if (device == nullptr) return MemoryBuffer(size);
    MemoryBuffer buffer;
    LOCKSTEP_ASSIGN_OR_RETURN(buffer.device_, DeviceBuffer<T>::allocate(*device, size));
    return buffer;
  }

  // Host pointer or device pointer.
  T* data() { return device_.data() != nullptr ? device_.data() : host_.data(); }
  const T* data() const { return device_.data() != nullptr ? device_.data() : host_.data(); }

 private:
  AlignedBuffer<T> host_;
  DeviceBuffer<T> device_;
};

}  // namespace lockstep
