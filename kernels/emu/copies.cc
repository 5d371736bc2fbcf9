// SPDX-License-Identifier: Apache-2.0
#include "kernels/emu/copies.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/emu/access.h"
#include "kernels/emu/grid.h"
#include "kernels/emu/memory.h"
#include "kernels/emu/warp_ops.h"

namespace lockstep::emu {
namespace {

struct Copy {
  unsigned char* to = nullptr;
  const void* from = nullptr;
  int bytes = 0, source_bytes = 0;
  int group = 0;
};
struct ThreadCopies {
  std::vector<Copy> under_way;  // oldest first
  int group = 0;                // the open one
};

std::vector<ThreadCopies>& copies() {
  static std::vector<ThreadCopies> copies(kMaxThreads);
  return copies;
}
ThreadCopies& mine() { return copies()[static_cast<size_t>(running_thread())]; }

std::string sides_text(const void* from, const void* to) {
  return fmt::format("cp.async from {} ({}) to {} ({}): not from global to shared memory", from, describe(from), to,
                     describe(to));
}
std::string alignment_text(const void* from, int bytes) {
  return fmt::format("misaligned: cp.async of {} bytes from {}: {}", bytes, from, describe(from));
}

void land(const Copy& copy) {
  if (copy.source_bytes > 0) check_read(copy.from, static_cast<size_t>(copy.source_bytes), false);
  check_write(copy.to, static_cast<size_t>(copy.bytes), true);
  std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.source_bytes));
  std::memset(copy.to + copy.source_bytes, 0, static_cast<size_t>(copy.bytes - copy.source_bytes));
}

}  // namespace

void start_copies(int threads) {
  for (int t = 0; t < threads; ++t) {
    ThreadCopies& thread = copies()[static_cast<size_t>(t)];
    thread.under_way.clear();
    thread.group = 0;
  }
}

void cp_async(void* to_shared, const void* from_global, int bytes, int source_bytes) {
  const auto size = static_cast<size_t>(bytes);
  if (!is_shared(to_shared) || (source_bytes > 0 && is_shared(from_global))) {
    fail_thread(cudaErrorIllegalAddress, sides_text(from_global, to_shared));
  }
  if (source_bytes < 0 || source_bytes > bytes) {
    fail_thread(cudaErrorLaunchFailure, fmt::format("cp.async of {} bytes reads {}", bytes, source_bytes));
  }
  if (reinterpret_cast<uintptr_t>(from_global) % size != 0) {
    fail_thread(cudaErrorMisalignedAddress, alignment_text(from_global, bytes));
  }
  if (source_bytes > 0) check_read(from_global, static_cast<size_t>(source_bytes), false);
  // The hardware may write from now on: whoever still reads the target races with it. What lies there is nobody's.
  check_write(to_shared, size, true);
  set_written(reinterpret_cast<uintptr_t>(to_shared), size, false);
  std::memset(to_shared, kFill, size);
  mine().under_way.push_back({static_cast<unsigned char*>(to_shared), from_global, bytes, source_bytes, mine().group});
}

void cp_async_commit() { mine().group += 1; }

void cp_async_wait(int pending) {
  ThreadCopies& thread = mine();
  const int last = thread.group - 1 - pending;  // groups up to it land
  const auto begin = thread.under_way.begin();
  const auto end = std::find_if(begin, thread.under_way.end(), [last](const Copy& copy) { return copy.group > last; });
  std::for_each(begin, end, land);
  thread.under_way.erase(begin, end);
}

}  // namespace lockstep::emu
