// SPDX-License-Identifier: Apache-2.0
#include "core/train/device_input.h"

namespace lockstep {
namespace {

// Every part starts where vector loads like it.
constexpr int64_t kAlignment = 256;

int64_t align_up(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

int64_t labels_offset() { return align_up(sizeof(StepScalars)); }
int64_t images_offset(const InputShape& shape) {
  return labels_offset() + align_up(shape.examples * static_cast<int64_t>(sizeof(int32_t)));
}
int64_t block_bytes(const InputShape& shape) {
  const int64_t number = shape.floats ? sizeof(float) : sizeof(uint8_t);
  return images_offset(shape) + align_up(shape.examples * shape.image_size * number);
}

InputBlock block_at(std::byte* memory, const InputShape& shape) {
  InputBlock block;
  block.scalars = reinterpret_cast<StepScalars*>(memory);
  block.labels = reinterpret_cast<int32_t*>(memory + labels_offset());
  std::byte* const images = memory + images_offset(shape);
  if (shape.floats) {
    block.floats = reinterpret_cast<float*>(images);
  } else {
    block.bytes = reinterpret_cast<uint8_t*>(images);
  }
  return block;
}

}  // namespace

int64_t DeviceInput::memory_bytes(const InputShape& shape) { return 3 * block_bytes(shape); }

absl::StatusOr<std::unique_ptr<DeviceInput>> DeviceInput::create(Device& device, const InputShape& shape) {
  using Memory = DeviceBuffer<std::byte>;
  const auto bytes = static_cast<size_t>(block_bytes(shape));
  std::unique_ptr<DeviceInput> input(new DeviceInput(device, shape));
  LOCKSTEP_ASSIGN_OR_RETURN(input->stream_, make_stream(device));
  for (Slot& slot : input->slots_) {
    LOCKSTEP_ASSIGN_OR_RETURN(slot.pinned, Memory::allocate(device, bytes, Memory::Kind::kPinned));
    LOCKSTEP_ASSIGN_OR_RETURN(slot.staged, Memory::allocate(device, bytes));
    LOCKSTEP_ASSIGN_OR_RETURN(slot.copied, make_event(device));
    LOCKSTEP_ASSIGN_OR_RETURN(slot.consumed, make_event(device));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(input->current_memory_, Memory::allocate(device, bytes));
  input->current_ = block_at(input->current_memory_.data(), shape);
  return input;
}

absl::StatusOr<InputBlock> DeviceInput::next_block() {
  if (slot().used) {
    LOCKSTEP_ASSIGN_OR_RETURN(const bool copied, device_.happened(slot().copied.get()));
    if (!copied) LOCKSTEP_RETURN_IF_ERROR(device_.synchronize(stream_.get()));
  }
  return block_at(slot().pinned.data(), shape_);
}

absl::Status DeviceInput::upload() {
  Slot& s = slot();
  if (s.used) LOCKSTEP_RETURN_IF_ERROR(device_.wait(stream_.get(), s.consumed.get()));
  LOCKSTEP_RETURN_IF_ERROR(device_.copy(s.staged.data(), s.pinned.data(), s.pinned.bytes(), stream_.get()));
  return device_.record(s.copied.get(), stream_.get());
}

absl::Status DeviceInput::deliver(DeviceStream stream) {
  Slot& s = slot();
  LOCKSTEP_RETURN_IF_ERROR(device_.wait(stream, s.copied.get()));
  LOCKSTEP_RETURN_IF_ERROR(device_.copy(current_memory_.data(), s.staged.data(), s.staged.bytes(), stream));
  LOCKSTEP_RETURN_IF_ERROR(device_.record(s.consumed.get(), stream));
  s.used = true;
  ++next_;
  return absl::OkStatus();
}

}  // namespace lockstep
