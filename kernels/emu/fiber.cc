// SPDX-License-Identifier: Apache-2.0
#include "kernels/emu/fiber.h"

#include <sys/mman.h>

#include "core/base/check.h"

#if defined(LOCKSTEP_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace lockstep::emu {
namespace {

constexpr size_t kGuardBytes = 4096;
// Whom AddressSanitizer must hear of when the switch has been made.
Context* g_from = nullptr;

void before_switch([[maybe_unused]] Context& from, [[maybe_unused]] const Context& to,
                   [[maybe_unused]] bool from_ends) {
  g_from = &from;
#if defined(LOCKSTEP_ADDRESS_SANITIZER)
  __sanitizer_start_switch_fiber(from_ends ? nullptr : &from.fake_stack, to.stack_begin, to.stack_bytes);
#endif
}

void after_switch([[maybe_unused]] Context& here) {
#if defined(LOCKSTEP_ADDRESS_SANITIZER)
  // Tells where the thread's own stack lies, which nobody knows before the first switch away from it.
  __sanitizer_finish_switch_fiber(here.fake_stack, &g_from->stack_begin, &g_from->stack_bytes);
#endif
}

}  // namespace

StackPool::~StackPool() {
  for (char* const stack : all_) ::munmap(stack - kGuardBytes, kStackBytes + kGuardBytes);
}

char* StackPool::take() {
  if (free_.empty()) {
    void* const memory = ::mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    LOCKSTEP_CHECK(memory != MAP_FAILED);
    LOCKSTEP_CHECK(::mprotect(memory, kGuardBytes, PROT_NONE) == 0);
    all_.push_back(static_cast<char*>(memory) + kGuardBytes);
    free_.push_back(all_.back());
  }
  char* const stack = free_.back();
  free_.pop_back();
  return stack;
}

void StackPool::give_back(char* stack) {
#if defined(LOCKSTEP_ADDRESS_SANITIZER)
  // A fiber that failed left its frames poisoned.
  ASAN_UNPOISON_MEMORY_REGION(stack, kStackBytes);
#endif
  free_.push_back(stack);
}

#if defined(__x86_64__)

// Saves what the calling convention lets a callee keep, and swaps the stack pointers.
asm(R"(
.pushsection .text
.local lockstep_emu_switch
.type lockstep_emu_switch, @function
lockstep_emu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size lockstep_emu_switch, . - lockstep_emu_switch
.popsection
)");
extern "C" void lockstep_emu_switch(void** save, void* load);

void prepare(Context& context, char* stack, void (*entry)()) {
  // What the switch pops: six registers and the address that it returns to. The word above stands for the return
  // address of entry's caller, so that the stack is aligned as after a call.
  void** const top = reinterpret_cast<void**>(stack + StackPool::kStackBytes) - 2;
  top[0] = reinterpret_cast<void*>(entry);
  top[1] = nullptr;
  for (int i = 1; i <= 6; ++i) top[-i] = nullptr;
  context = {top - 6, nullptr, stack, StackPool::kStackBytes};
}

void switch_to(Context& from, Context& to, bool from_ends) {
  before_switch(from, to, from_ends);
  lockstep_emu_switch(&from.position, to.position);
  after_switch(from);
}

#else

namespace {
ucontext_t& native(Context& context) {
  if (context.position == nullptr) context.position = new ucontext_t{};
  return *static_cast<ucontext_t*>(context.position);
}
}  // namespace

void prepare(Context& context, char* stack, void (*entry)()) {
  ucontext_t& native_context = native(context);
  LOCKSTEP_CHECK(::getcontext(&native_context) == 0);
  native_context.uc_stack.ss_sp = stack;
  native_context.uc_stack.ss_size = StackPool::kStackBytes;
  ::makecontext(&native_context, entry, 0);
  context.fake_stack = nullptr;
  context.stack_begin = stack;
  context.stack_bytes = StackPool::kStackBytes;
}

void switch_to(Context& from, Context& to, bool from_ends) {
  before_switch(from, to, from_ends);
  LOCKSTEP_CHECK(::swapcontext(&native(from), &native(to)) == 0);
  after_switch(from);
}

#endif

void arrive(Context& here) { after_switch(here); }

}  // namespace lockstep::emu
