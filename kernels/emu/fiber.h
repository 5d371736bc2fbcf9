// SPDX-License-Identifier: Apache-2.0
// Fibers: stacks of their own that one host thread switches between. On x86-64 a switch is a dozen instructions of our
// own, elsewhere ucontext. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lockstep::emu {

// Where an execution stands while another one runs: a stack pointer, or an index of a ucontext.
struct Context {
  void* position = nullptr;
  // For AddressSanitizer.
  void* fake_stack = nullptr;
  const void* stack_begin = nullptr;
  size_t stack_bytes = 0;
};

// Stacks of one size with an unmapped page below each, made as needed and reused.
class StackPool {
 public:
#if defined(LOCKSTEP_ADDRESS_SANITIZER)
  static constexpr size_t kStackBytes = 512 * 1024;  // its frames are several times as large
#else
  static constexpr size_t kStackBytes = 128 * 1024;
#endif
  StackPool() = default;
  ~StackPool();
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  // The lowest address.
  char* take();
  void give_back(char* stack);

 private:
  std::vector<char*> all_, free_;
};

// Makes `context` start `entry` on `stack` at the first switch to it. `entry` must never return: it switches away.
void prepare(Context& context, char* stack, void (*entry)());
// Saves the execution in `from` and goes on with `to`. `from_ends`: nobody will switch to `from` again.
void switch_to(Context& from, Context& to, bool from_ends = false);
// First thing that `entry` calls.
void arrive(Context& here);

}  // namespace lockstep::emu
