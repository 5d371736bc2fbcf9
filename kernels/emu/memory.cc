// SPDX-License-Identifier: Apache-2.0
#include "kernels/emu/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/base/check.h"
#include "kernels/emu/options.h"

#if defined(LOCKSTEP_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#endif

namespace lockstep::emu {

Arena g_arena;

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kSharedGap = 64;  // between shared arrays: an index past the end of one is found

struct Allocation {
  size_t bytes = 0;
  bool freed = false;
};
struct SharedArray {
  std::string name;
  uintptr_t begin = 0;
  size_t bytes = 0;
};

std::map<uintptr_t, Allocation> g_allocations;  // by first address, freed ones too
std::map<uintptr_t, size_t> g_live;             // those not freed, and their bytes
std::vector<SharedArray> g_shared;
uintptr_t g_next = 0;  // first address never used
size_t g_in_use = 0;
uintptr_t g_shared_next = 0;
int g_host_access = 0;

void* reserve(size_t bytes, int protection) {
  void* const memory = ::mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

size_t round_up(size_t value, size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

size_t word_of(uintptr_t address) { return (address - g_arena.base) / 4; }

// Calls f(word, mask of bytes) for every word that the range touches.
template <typename F>
void for_words(uintptr_t begin, size_t bytes, const F& f) {
  for (uintptr_t at = begin; at < begin + bytes;) {
    const uintptr_t next = std::min(begin + bytes, (at & ~uintptr_t{3}) + 4);
    const unsigned mask = ((1u << (next - at)) - 1) << (at & 3);
    f(word_of(at), static_cast<uint8_t>(mask));
    at = next;
  }
}

// Calls edges(word, mask) for words of which the range holds a part, and whole(first word, words) for those between.
template <typename Edges, typename Whole>
void for_range(uintptr_t begin, size_t bytes, const Edges& edges, const Whole& whole) {
  const uintptr_t first = round_up(begin, 4), last = (begin + bytes) & ~uintptr_t{3};
  if (first >= last) return for_words(begin, bytes, edges);
  for_words(begin, first - begin, edges);
  whole(word_of(first), (last - first) / 4);
  for_words(last, begin + bytes - last, edges);
}

// Pages of memory and shadows that nobody will use again.
void drop_pages(uintptr_t begin, size_t bytes) {
  const auto drop = [](void* p, size_t size) {
    const uintptr_t first = round_up(reinterpret_cast<uintptr_t>(p), kPage);
    const uintptr_t last = (reinterpret_cast<uintptr_t>(p) + size) & ~(kPage - 1);
    if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  };
  drop(reinterpret_cast<void*>(begin), bytes);
  drop(g_arena.state + word_of(begin), bytes / 4);
  drop(g_arena.cells + word_of(begin), bytes / 4 * sizeof(AccessCell));
  drop(g_arena.byte_cells + 4 * word_of(begin), bytes * sizeof(AccessCell));
}

bool all_fill(uintptr_t begin, size_t bytes) {
  const auto* const p = reinterpret_cast<const unsigned char*>(begin);
  return std::all_of(p, p + bytes, [](unsigned char byte) { return byte == kFill; });
}

void poison([[maybe_unused]] uintptr_t begin, [[maybe_unused]] size_t bytes, [[maybe_unused]] bool valid) {
#if defined(LOCKSTEP_ADDRESS_SANITIZER)
  if (valid) {
    ASAN_UNPOISON_MEMORY_REGION(reinterpret_cast<void*>(begin), bytes);
  } else {
    ASAN_POISON_MEMORY_REGION(reinterpret_cast<void*>(begin), bytes);
  }
#endif
}

// The allocation that starts at or before the address.
std::map<uintptr_t, Allocation>::const_iterator nearest(uintptr_t address) {
  auto it = g_allocations.upper_bound(address);
  if (it != g_allocations.begin()) --it;
  return it;
}

void protect(int protection) {
  if (g_next == 0) return;
  ::mprotect(reinterpret_cast<void*>(g_arena.base), g_next - g_arena.base, protection);
}

std::string guard_message(uintptr_t begin, size_t bytes) {
  // Poisoned for everyone else.
  poison(begin - kGuardBytes, kGuardBytes, true);
  poison(begin + bytes, kGuardBytes, true);
  const bool front = all_fill(begin - kGuardBytes, kGuardBytes);
  const bool back = all_fill(begin + bytes, kGuardBytes);
  poison(begin - kGuardBytes, kGuardBytes, false);
  poison(begin + bytes, kGuardBytes, false);
  if (front && back) return "";
  return fmt::format("the guard bytes {} an allocation of {} bytes were overwritten", front ? "behind" : "in front of",
                     bytes);
}

}  // namespace

bool reserve_arena() {
  if (g_arena.base != 0) return true;
  void* const memory = reserve(kArenaBytes, PROT_NONE);
  void* const state = reserve(kArenaBytes / 4, PROT_READ | PROT_WRITE);
  void* const cells = reserve(kArenaBytes / 4 * sizeof(AccessCell), PROT_READ | PROT_WRITE);
  void* const byte_cells = reserve(kArenaBytes * sizeof(AccessCell), PROT_READ | PROT_WRITE);
  if (memory == nullptr || state == nullptr || cells == nullptr || byte_cells == nullptr) return false;
  g_arena = {reinterpret_cast<uintptr_t>(memory), static_cast<uint8_t*>(state), static_cast<AccessCell*>(cells),
             static_cast<AccessCell*>(byte_cells)};
  g_shared_next = g_arena.base;
  g_next = g_arena.base + kSharedBytes;
  poison(g_arena.base, kSharedBytes, false);
  return true;
}

void set_valid(uintptr_t begin, size_t bytes, bool valid) {
  poison(begin, bytes, valid);
  uint8_t* const state = g_arena.state;
  const auto edge = [=](size_t word, uint8_t mask) {
    const int kept = state[word] & ~(mask | mask << 4);
    state[word] = static_cast<uint8_t>(valid ? kept | mask : kept);
  };
  for_range(begin, bytes, edge, [=](size_t word, size_t words) { std::memset(state + word, valid ? 0x0F : 0, words); });
}

void set_written(uintptr_t begin, size_t bytes, bool written) {
  uint8_t* const state = g_arena.state;
  const auto edge = [=](size_t word, uint8_t mask) {
    state[word] = static_cast<uint8_t>(written ? state[word] | mask << 4 : state[word] & ~(mask << 4));
  };
  for_range(begin, bytes, edge,
            [=](size_t word, size_t words) { std::memset(state + word, written ? 0xFF : 0x0F, words); });
}

bool all_valid(uintptr_t begin, size_t bytes) {
  if (begin < g_arena.base || begin + bytes > g_arena.base + kArenaBytes) return false;
  bool valid = true;
  for_words(begin, bytes, [&](size_t word, uint8_t mask) { valid = valid && (g_arena.state[word] & mask) == mask; });
  return valid;
}

bool all_written(uintptr_t begin, size_t bytes) {
  bool written = true;
  for_words(begin, bytes, [&](size_t word, uint8_t mask) {
    const int wanted = mask << 4;
    written = written && (g_arena.state[word] & wanted) == wanted;
  });
  return written;
}

void forget_accesses() {
  const size_t bytes = g_next - g_arena.base;
  ::madvise(g_arena.cells, bytes / 4 * sizeof(AccessCell), MADV_DONTNEED);
  ::madvise(g_arena.byte_cells, bytes * sizeof(AccessCell), MADV_DONTNEED);
}

void* allocate_device(size_t bytes) {
  const size_t span = round_up(bytes + 2 * kGuardBytes, kPage);
  if (!reserve_arena() || g_in_use + bytes > static_cast<size_t>(device_memory_bytes())) return nullptr;
  if (bytes > kArenaBytes || g_next + span > g_arena.base + kArenaBytes) return nullptr;
  const uintptr_t begin = g_next + kGuardBytes;
  ::mprotect(reinterpret_cast<void*>(g_next), span, PROT_READ | PROT_WRITE);
  std::memset(reinterpret_cast<void*>(g_next), kFill, span);
  poison(g_next, span, false);
  set_valid(begin, bytes, true);
  if (g_host_access == 0) ::mprotect(reinterpret_cast<void*>(g_next), span, PROT_NONE);
  g_next += span;
  g_in_use += bytes;
  g_allocations[begin] = {bytes, false};
  g_live[begin] = bytes;
  return reinterpret_cast<void*>(begin);
}

Release release_device(void* memory) {
  const auto it = g_allocations.find(reinterpret_cast<uintptr_t>(memory));
  if (it == g_allocations.end() || it->second.freed) return Release::kNotAllocated;
  const HostAccess access;
  const bool whole = guard_message(it->first, it->second.bytes).empty();
  it->second.freed = true;
  g_live.erase(it->first);
  g_in_use -= it->second.bytes;
  set_valid(it->first, it->second.bytes, false);
  drop_pages(it->first - kGuardBytes, round_up(it->second.bytes + 2 * kGuardBytes, kPage));
  return whole ? Release::kDone : Release::kGuardsOverwritten;
}

size_t device_bytes_in_use() { return g_in_use; }

std::string overwritten_guard() {
  for (const auto& [begin, bytes] : g_live) {
    if (const std::string message = guard_message(begin, bytes); !message.empty()) return message;
  }
  return "";
}

std::string describe(const void* p) {
  const auto address = reinterpret_cast<uintptr_t>(p);
  if (!g_arena.contains(p)) return "not device memory";
  if (address < g_arena.base + kSharedBytes) {
    const SharedArray* best = nullptr;
    for (const SharedArray& array : g_shared) {
      if (array.begin <= address) best = &array;
    }
    if (best == nullptr) return "shared memory that the block does not have";
    const uintptr_t offset = address - best->begin;
    if (offset < best->bytes) return fmt::format("byte {} of shared `{}`", offset, best->name);
    return fmt::format("{} bytes behind the end of shared `{}` of {} bytes", offset - best->bytes, best->name,
                       best->bytes);
  }
  const auto it = nearest(address);
  if (it == g_allocations.end()) return "device memory that was never allocated";
  const auto& [begin, allocation] = *it;
  const char* const freed = allocation.freed ? " that was freed" : "";
  if (address < begin)
    return fmt::format("{} bytes in front of an allocation of {} bytes{}", begin - address, allocation.bytes, freed);
  if (address - begin < allocation.bytes) {
    return fmt::format("byte {} of an allocation of {} bytes{}", address - begin, allocation.bytes, freed);
  }
  const auto next = g_allocations.upper_bound(address);
  if (next != g_allocations.end() && next->first - address <= kGuardBytes) {
    return fmt::format("{} bytes in front of an allocation of {} bytes", next->first - address, next->second.bytes);
  }
  return fmt::format("{} bytes behind the end of an allocation of {} bytes{}", address - begin - allocation.bytes,
                     allocation.bytes, freed);
}

void* allocate_shared(const char* name, size_t bytes) {
  const uintptr_t begin = g_shared_next;
  g_shared_next += round_up(bytes, 16) + kSharedGap;
  LOCKSTEP_CHECK(g_shared_next <= g_arena.base + kSharedBytes);
  set_valid(begin, bytes, true);
  std::memset(reinterpret_cast<void*>(begin), kFill, bytes);
  g_shared.push_back({name, begin, bytes});
  return reinterpret_cast<void*>(begin);
}

void release_shared() {
  set_valid(g_arena.base, g_shared_next - g_arena.base, false);
  g_shared_next = g_arena.base;
  g_shared.clear();
}

HostAccess::HostAccess() {
  if (g_host_access++ == 0) protect(PROT_READ | PROT_WRITE);
}
HostAccess::~HostAccess() {
  if (--g_host_access == 0) protect(PROT_NONE);
}

}  // namespace lockstep::emu
