// SPDX-License-Identifier: Apache-2.0
// The emulated GPU's memory: one range of addresses, shared memory at its start, allocations behind it, no address used
// twice. Beside it lie shadows, so that one look tells everything about an access: a byte for each 4-byte word (which
// of its bytes exist, which have been written) and a cell that remembers who wrote and who read it last. A word that is
// accessed in parts has such a cell for each of its bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "kernels/emu/failure.h"

namespace lockstep::emu {

constexpr size_t kArenaBytes = size_t{64} << 30;  // of addresses; memory is taken as it is touched
constexpr size_t kSharedBytes = size_t{1} << 20;  // the first of them
constexpr size_t kGuardBytes = 256;               // on both sides of an allocation
constexpr unsigned char kFill = 0xFF;             // guards and memory that nobody wrote; as float: NaN

// Accesses of a launch are ordered by stamps: each block and each interval between two barriers has its own, larger
// than all before. `who` packs (low to high) in a word's write_who whether it is split, 1 bit: its bytes' cells hold
// instead of its own; the thread: 10, flags: 3, the thread's count of __syncwarp: 18.
struct AccessCell {
  uint32_t write_stamp, write_who;
  uint32_t read_stamp, read_who;
};
constexpr uint32_t kSplit = 1, kThreadShift = 1;
constexpr uint32_t kSeveralLanes = 1u << 11, kSeveralWarps = 1u << 12, kSeveralBlocks = 1u << 13, kEpochShift = 14;

// Read by every checked access.
struct Arena {
  uintptr_t base = 0;  // 0: not reserved yet
  uint8_t* state = nullptr;
  AccessCell* cells = nullptr;
  AccessCell* byte_cells = nullptr;  // four a word; touched for split words alone

  bool contains(const void* p) const { return reinterpret_cast<uintptr_t>(p) - base < kArenaBytes && base != 0; }
};
extern Arena g_arena;

// Without hooks (AddressSanitizer has them) nobody knows who wrote what: only the limits of memory are checked.
#if defined(LOCKSTEP_ADDRESS_SANITIZER)
constexpr bool kHooked = false;
#else
constexpr bool kHooked = true;
#endif

// False where this machine does not give the addresses.
bool reserve_arena();

// Bytes [begin, begin + bytes) exist, or not; those that begin to exist have not been written.
void set_valid(uintptr_t begin, size_t bytes, bool valid);
void set_written(uintptr_t begin, size_t bytes, bool written);
bool all_valid(uintptr_t begin, size_t bytes);
bool all_written(uintptr_t begin, size_t bytes);
// The accesses remembered for every word; after it, stamps may start again.
void forget_accesses();

// Device memory between guard bytes, filled with kFill. Null: no memory left.
void* allocate_device(size_t bytes);
enum class Release { kDone, kNotAllocated, kGuardsOverwritten };
Release release_device(void* memory);
size_t device_bytes_in_use();
// For the next message: what is wrong about the guards of some allocation; empty when all are whole.
std::string overwritten_guard();

// "4 bytes behind an allocation of 512 bytes"; "inside an allocation of 512 bytes that was freed".
std::string describe(const void* p);

// Shared memory by name, for messages and for gaps between arrays.
void* allocate_shared(const char* name, size_t bytes);
void release_shared();

// Whether the host may touch device memory: only while the emulator works on it. Elsewhere it is a segmentation fault,
// as with a GPU.
class HostAccess {
 public:
  HostAccess();
  ~HostAccess();
  HostAccess(const HostAccess&) = delete;
  HostAccess& operator=(const HostAccess&) = delete;
};

}  // namespace lockstep::emu
