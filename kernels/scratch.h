// SPDX-License-Identifier: Apache-2.0
// Working memory of a kernel: per thread and slot, grown on demand and kept for the next call, so that a training step
// allocates nothing after the first.
#pragma once

#include <cstddef>

#include "core/base/aligned_buffer.h"

namespace lockstep {

inline constexpr int kScratchSlots = 8;

// At least `size` floats or other values, 64-byte aligned, contents undefined. Valid until the same thread asks for the
// same slot again; each type has slots of its own. A kernel uses fixed slot numbers of its own; nothing in a slot
// outlives the kernel call.
template <typename T = float>
T* scratch(int slot, size_t size) {
  thread_local AlignedBuffer<T> buffers[kScratchSlots];
  AlignedBuffer<T>& buffer = buffers[slot];
  if (buffer.size() < size) buffer = AlignedBuffer<T>(size);
  return buffer.data();
}

}  // namespace lockstep
