// SPDX-License-Identifier: Apache-2.0
#include "kernels/emu/access.h"

#include <fmt/format.h>

#include "kernels/emu/access-inl.h"
#include "kernels/emu/failure.h"

// The program's own image, as the linker lays it out: constants that a kernel may read.
extern "C" const char __executable_start, end;

namespace lockstep::emu {
namespace {

std::string access_text(const void* p, size_t bytes, bool write) {
  return fmt::format("{} of {} bytes at {}", write ? "write" : "read", bytes, p);
}

std::string bounds_text(const void* p, size_t bytes, bool write) {
  const std::string what = describe(p);
  const bool inside = what.starts_with("byte"), freed = what.ends_with("freed");
  return fmt::format("{}: {}: {}{}", inside && freed ? "use after free" : "out of bounds", access_text(p, bytes, write),
                     inside && !freed ? "runs past the end: " : "",  // its first bytes are good
                     what);
}

std::string alignment_text(const void* p, size_t bytes, bool write) {
  return fmt::format("misaligned: {}, not a multiple of {}: {}", access_text(p, bytes, write), bytes, describe(p));
}

std::string unwritten_text(const void* p, size_t bytes) {
  return fmt::format("uninitialised: {}, which nobody wrote: {}", access_text(p, bytes, false), describe(p));
}

std::string race_text(const void* word, bool write, bool other_wrote) {
  return fmt::format("race: {} at {} without a barrier after the {} by another thread: {}", write ? "write" : "read",
                     word, other_wrote ? "write" : "read", describe(word));
}

bool within(const void* p, const void* begin, const void* behind) {
  const auto address = reinterpret_cast<uintptr_t>(p);
  return address >= reinterpret_cast<uintptr_t>(begin) && address < reinterpret_cast<uintptr_t>(behind);
}

}  // namespace

void fail_bounds(const void* p, size_t bytes, bool write) {
  if (running_thread() < 0) return;
  fail_thread(cudaErrorIllegalAddress, bounds_text(p, bytes, write));
}

void fail_alignment(const void* p, size_t bytes, bool write) {
  if (running_thread() < 0) return;
  fail_thread(cudaErrorMisalignedAddress, alignment_text(p, bytes, write));
}

void fail_unwritten(const void* p, size_t bytes) {
  if (running_thread() < 0) return;
  fail_thread(cudaErrorLaunchFailure, unwritten_text(p, bytes));
}

void fail_race(const void* word, bool write, bool other_wrote) {
  if (running_thread() < 0) return;
  fail_thread(cudaErrorLaunchFailure, race_text(word, write, other_wrote));
}

void check_outside(const void* p, size_t bytes, bool write) {
  if (running_thread() < 0) return;
  if (!write && within(p, &__executable_start, &end)) return;
  const auto* const call = reinterpret_cast<const char*>(g_running.call);
  if (!write && within(p, call, call + g_running.call->size_bytes())) return;  // the kernel's parameters
  fail_thread(cudaErrorIllegalAddress, bounds_text(p, bytes, write));
}

void check_read(const void* p, size_t bytes, bool aligned) {
  if (!g_arena.contains(p)) return check_outside(p, bytes, false);
  if (aligned && reinterpret_cast<uintptr_t>(p) % bytes != 0) fail_alignment(p, bytes, false);
  check_range<false>(p, bytes);
}

void check_write(void* p, size_t bytes, bool aligned) {
  if (!g_arena.contains(p)) return check_outside(p, bytes, true);
  if (aligned && reinterpret_cast<uintptr_t>(p) % bytes != 0) fail_alignment(p, bytes, true);
  check_range<true>(p, bytes);
}

void check_atomic(void* p) {
  if (!g_arena.contains(p)) return check_outside(p, 4, true);
  if (reinterpret_cast<uintptr_t>(p) % 4 != 0) fail_alignment(p, 4, true);
  const uint8_t state = g_arena.state[(reinterpret_cast<uintptr_t>(p) - g_arena.base) / 4];
  if ((state & 0xF) != 0xF) fail_bounds(p, 4, true);
  if (kHooked && state != 0xFF) fail_unwritten(p, 4);
}

bool is_shared(const void* p) { return reinterpret_cast<uintptr_t>(p) - g_arena.base < kSharedBytes; }

}  // namespace lockstep::emu
