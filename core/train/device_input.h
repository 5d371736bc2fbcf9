// SPDX-License-Identifier: Apache-2.0
// Brings batches to the GPU ahead of its work: the host writes one of two pinned blocks, a stream of its own copies it
// while the GPU still computes the step before, and the step reads everything at one fixed place, so that a captured
// step can be launched again for every batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/base/device.h"
#include "core/base/device_handles.h"
#include "core/base/status.h"
#include "kernels/backend.h"

namespace lockstep {

// Sizes of what one batch brings: images as bytes, or as floats where the host has transformed them.
struct InputShape {
  int64_t examples = 0;
  int64_t image_size = 0;  // numbers of one image
  bool floats = false;
};

// One block: scalars, labels, images.
struct InputBlock {
  StepScalars* scalars = nullptr;
  int32_t* labels = nullptr;
  uint8_t* bytes = nullptr;  // images: one of the two is null
  float* floats = nullptr;
};

class DeviceInput {
 public:
  static absl::StatusOr<std::unique_ptr<DeviceInput>> create(Device& device, const InputShape& shape);
  // Bytes of device memory.
  static int64_t memory_bytes(const InputShape& shape);

  // The pinned block for the next batch, to be filled. Waits if the GPU is two batches behind.
  absl::StatusOr<InputBlock> next_block();
  // Starts copying it.
  absl::Status upload();
  // Makes `stream` wait for the copy and move it to current().
  absl::Status deliver(DeviceStream stream);
  // Device memory: the batch last delivered.
  const InputBlock& current() const { return current_; }
  // For other copies that must not wait for computation.
  DeviceStream copy_stream() const { return stream_.get(); }

 private:
  struct Slot {
    DeviceBuffer<std::byte> pinned, staged;
    OwnedEvent copied;    // pinned -> staged
    OwnedEvent consumed;  // staged -> current
    bool used = false;
  };
  DeviceInput(Device& device, const InputShape& shape) : device_(device), shape_(shape) {}
  Slot& slot() { return slots_[next_ % 2]; }

  Device& device_;
  const InputShape shape_;
  OwnedStream stream_;
  Slot slots_[2];
  DeviceBuffer<std::byte> current_memory_;
  InputBlock current_;
  uint64_t next_ = 0;
};

}  // namespace lockstep
