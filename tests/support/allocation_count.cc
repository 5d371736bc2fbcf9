// SPDX-License-Identifier: Apache-2.0
// Apart from what uses it: where the compiler saw both, it would warn of free() for memory of operator new.
#include "tests/support/allocation_count.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<int64_t> allocations{0};
}

void* operator new(size_t size) {
  ++allocations;
  if (void* p = std::malloc(size == 0 ? 1 : size)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace lockstep {

int64_t allocation_count() { return allocations; }

}  // namespace lockstep
