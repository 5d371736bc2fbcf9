// SPDX-License-Identifier: Apache-2.0
// The checks themselves, inline in each hook: they run once per access of a kernel.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/emu/fiber.h"
#include "kernels/emu/grid.h"
#include "kernels/emu/memory.h"

namespace lockstep::emu {

// The slow ends, in access.cc. Each returns where no thread of a kernel runs: host code may be instrumented too.
void fail_bounds(const void* p, size_t bytes, bool write);
void fail_alignment(const void* p, size_t bytes, bool write);
void fail_unwritten(const void* p, size_t bytes);
void fail_race(const void* word, bool write, bool other_wrote);
void check_outside(const void* p, size_t bytes, bool write);

// Whether an earlier access (stamp, who) is not ordered before one of the running thread.
inline bool unordered(uint32_t stamp, uint32_t who, bool shared) {
  if (stamp < g_running.launch_stamp) return false;
  if (stamp < g_running.block_stamp) return !shared;  // another block, whose shared memory was another
  if ((who & kSeveralBlocks) != 0) return true;
  if (stamp != g_running.stamp) return false;  // a barrier lies between
  if ((who & kSeveralWarps) != 0) return true;
  constexpr uint32_t kThreads = ((kMaxThreads - 1u) << kThreadShift), kWarps = kThreads & ~(31u << kThreadShift);
  const uint32_t changed = who ^ g_running.who;
  if ((changed & kWarps) != 0) return true;
  if ((changed >> kEpochShift) != 0) return false;  // a __syncwarp lies between
  return (who & kSeveralLanes) != 0 || (changed & kThreads) != 0;
}

inline void remember_read(AccessCell& cell, bool shared) {
  const uint32_t stamp = cell.read_stamp, who = cell.read_who;
  uint32_t flags = 0;
  if (stamp >= g_running.launch_stamp && !(shared && stamp < g_running.block_stamp)) {
    flags = stamp < g_running.block_stamp ? kSeveralBlocks : who & kSeveralBlocks;
    if (stamp == g_running.stamp) {
      constexpr uint32_t kThreads = ((kMaxThreads - 1u) << kThreadShift), kWarps = kThreads & ~(31u << kThreadShift);
      const uint32_t changed = who ^ g_running.who;
      flags |= (changed & kWarps) != 0 ? kSeveralWarps : who & kSeveralWarps;
      if ((changed >> kEpochShift) == 0) flags |= (changed & kThreads) != 0 ? kSeveralLanes : who & kSeveralLanes;
    }
  }
  cell.read_stamp = g_running.stamp;
  cell.read_who = g_running.who | flags;
}

// An access `p` of what the cell stands for.
template <bool kWrite>
inline void check_order(AccessCell& cell, const void* p, bool shared) {
  if (unordered(cell.write_stamp, cell.write_who, shared)) [[unlikely]]
    fail_race(p, kWrite, true);
  if constexpr (kWrite) {
    if (unordered(cell.read_stamp, cell.read_who, shared)) [[unlikely]]
      fail_race(p, kWrite, false);
    cell.write_stamp = g_running.stamp;
    cell.write_who = g_running.who;
  } else {
    remember_read(cell, shared);
  }
}

// The same of some bytes of a word, or of all of one that was accessed in parts before.
template <bool kWrite>
inline void check_bytes_order(size_t word, uint32_t mask, const void* p, bool shared) {
  AccessCell& cell = g_arena.cells[word];
  AccessCell* const bytes = g_arena.byte_cells + 4 * word;
  if ((cell.write_who & kSplit) == 0) {
    for (int i = 0; i < 4; ++i) bytes[i] = cell;
    cell.write_who |= kSplit;
  }
  for (int i = 0; i < 4; ++i) {
    if ((mask >> i & 1) != 0) check_order<kWrite>(bytes[i], p, shared);
  }
  // Whoever is not ordered after an earlier read is not after this write either.
  if (kWrite && mask == 0xF) cell = bytes[0];
}

// One 4-byte word of device or shared memory. `p` is the access, for the message.
template <bool kWrite>
inline void check_word(size_t word, uint32_t mask, const void* p, size_t bytes) {
  uint8_t& state = g_arena.state[word];
  if ((state & mask) != mask) [[unlikely]]
    return fail_bounds(p, bytes, kWrite);
  if constexpr (!kHooked) return;
  const bool shared = word < kSharedBytes / 4;
  AccessCell& cell = g_arena.cells[word];
  if (mask == 0xF && (cell.write_who & kSplit) == 0) {
    check_order<kWrite>(cell, p, shared);
  } else {
    check_bytes_order<kWrite>(word, mask, p, shared);
  }
  if constexpr (kWrite) {
    state = static_cast<uint8_t>(state | mask << 4);
  } else {
    if (((state >> 4) & mask) != mask) [[unlikely]]
      fail_unwritten(p, bytes);
  }
}

template <bool kWrite>
inline void check_range(const void* p, size_t bytes) {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(p), end = begin + bytes;
  for (uintptr_t at = begin; at < end;) {
    const uintptr_t word_end = (at & ~uintptr_t{3}) + 4, next = word_end < end ? word_end : end;
    const uint32_t mask = ((1u << (next - at)) - 1) << (at & 3);
    check_word<kWrite>((at - g_arena.base) / 4, mask, p, bytes);
    at = next;
  }
}

template <bool kWrite, bool kAligned, size_t kBytes>
inline void check_access(const void* p) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(p);
  if (address - g_running.stack < StackPool::kStackBytes) return;  // a local variable
  const uintptr_t offset = address - g_arena.base;
  if (offset >= kArenaBytes) return check_outside(p, kBytes, kWrite);
  if (kAligned && offset % kBytes != 0) [[unlikely]]
    fail_alignment(p, kBytes, kWrite);
  if constexpr (kAligned && kBytes >= 4) {
    for (size_t i = 0; i < kBytes / 4; ++i) check_word<kWrite>(offset / 4 + i, 0xF, p, kBytes);
  } else if constexpr (kBytes == 1 || (kAligned && kBytes == 2)) {
    check_word<kWrite>(offset / 4, ((1u << kBytes) - 1) << (offset % 4), p, kBytes);
  } else {
    check_range<kWrite>(p, kBytes);
  }
}

}  // namespace lockstep::emu
