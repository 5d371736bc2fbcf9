// SPDX-License-Identifier: Apache-2.0
// What g++ calls before every access to memory when it compiles with -fsanitize=thread, and when it finds a misaligned
// pointer or an index past the end of an array (-fsanitize=alignment,bounds). No sanitizer is linked: these functions
// are ours, so that each access of a kernel is checked against the emulated GPU's memory.
#include <fmt/format.h>

#include <cstring>
#include <string>

#include "kernels/emu/access-inl.h"
#include "kernels/emu/access.h"

using lockstep::emu::check_access;

namespace {

// The head of the records that g++ hands to the handlers of -fsanitize=alignment,bounds.
struct SourceLocation {
  const char* file;
  uint32_t line, column;
};

std::string text_of(const SourceLocation& where) {
  const std::string file = where.file == nullptr ? "" : where.file;
  return fmt::format("{}:{}", file.substr(file.rfind('/') + 1), where.line);
}

std::string misaligned_text(const SourceLocation& where, const void* p) {
  return fmt::format("misaligned: access at {} through a pointer type of larger alignment, {}: {}", p, text_of(where),
                     lockstep::emu::describe(p));
}
std::string index_text(const SourceLocation& where, const void* index) {
  return fmt::format("out of bounds: index {} of an array, {}",
                     static_cast<int64_t>(reinterpret_cast<uintptr_t>(index)), text_of(where));
}

}  // namespace

// NOLINTBEGIN: the names are the compiler's.
extern "C" {

#define LOCKSTEP_EMU_HOOKS(bytes)                                                               \
  void __tsan_read##bytes(void* p) { check_access<false, true, bytes>(p); }                     \
  void __tsan_write##bytes(void* p) { check_access<true, true, bytes>(p); }                     \
  void __tsan_volatile_read##bytes(void* p) { check_access<false, true, bytes>(p); }            \
  void __tsan_volatile_write##bytes(void* p) { check_access<true, true, bytes>(p); }            \
  void __tsan_unaligned_read##bytes(void* p) { check_access<false, false, bytes>(p); }          \
  void __tsan_unaligned_write##bytes(void* p) { check_access<true, false, bytes>(p); }          \
  void __tsan_unaligned_volatile_read##bytes(void* p) { check_access<false, false, bytes>(p); } \
  void __tsan_unaligned_volatile_write##bytes(void* p) { check_access<true, false, bytes>(p); }
LOCKSTEP_EMU_HOOKS(1)
LOCKSTEP_EMU_HOOKS(2)
LOCKSTEP_EMU_HOOKS(4)
LOCKSTEP_EMU_HOOKS(8)
LOCKSTEP_EMU_HOOKS(16)
#undef LOCKSTEP_EMU_HOOKS

void __tsan_read_range(void* p, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(p) - lockstep::emu::g_running.stack < lockstep::emu::StackPool::kStackBytes) return;
  lockstep::emu::check_read(p, bytes, false);
}
void __tsan_write_range(void* p, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(p) - lockstep::emu::g_running.stack < lockstep::emu::StackPool::kStackBytes) return;
  lockstep::emu::check_write(p, bytes, false);
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_read(void**) {}
void __tsan_vptr_update(void**, void*) {}

// Atomic operations of host code beside the kernels: reference counts, guards of static variables.
#define LOCKSTEP_EMU_ATOMICS(bits)                                                                                   \
  uint##bits##_t __tsan_atomic##bits##_load(const volatile void* p, int) {                                           \
    return __atomic_load_n(static_cast<const volatile uint##bits##_t*>(p), __ATOMIC_SEQ_CST);                        \
  }                                                                                                                  \
  void __tsan_atomic##bits##_store(volatile void* p, uint##bits##_t v, int) {                                        \
    __atomic_store_n(static_cast<volatile uint##bits##_t*>(p), v, __ATOMIC_SEQ_CST);                                 \
  }                                                                                                                  \
  uint##bits##_t __tsan_atomic##bits##_exchange(volatile void* p, uint##bits##_t v, int) {                           \
    return __atomic_exchange_n(static_cast<volatile uint##bits##_t*>(p), v, __ATOMIC_SEQ_CST);                       \
  }                                                                                                                  \
  uint##bits##_t __tsan_atomic##bits##_fetch_add(volatile void* p, uint##bits##_t v, int) {                          \
    return __atomic_fetch_add(static_cast<volatile uint##bits##_t*>(p), v, __ATOMIC_SEQ_CST);                        \
  }                                                                                                                  \
  uint##bits##_t __tsan_atomic##bits##_fetch_sub(volatile void* p, uint##bits##_t v, int) {                          \
    return __atomic_fetch_sub(static_cast<volatile uint##bits##_t*>(p), v, __ATOMIC_SEQ_CST);                        \
  }                                                                                                                  \
  bool __tsan_atomic##bits##_compare_exchange_strong(volatile void* p, void* expected, uint##bits##_t v, int, int) { \
    return __atomic_compare_exchange_n(static_cast<volatile uint##bits##_t*>(p),                                     \
                                       static_cast<uint##bits##_t*>(expected), v, false, __ATOMIC_SEQ_CST,           \
                                       __ATOMIC_SEQ_CST);                                                            \
  }                                                                                                                  \
  bool __tsan_atomic##bits##_compare_exchange_weak(volatile void* p, void* expected, uint##bits##_t v, int, int) {   \
    return __tsan_atomic##bits##_compare_exchange_strong(p, expected, v, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);        \
  }
LOCKSTEP_EMU_ATOMICS(8)
LOCKSTEP_EMU_ATOMICS(32)
LOCKSTEP_EMU_ATOMICS(64)
#undef LOCKSTEP_EMU_ATOMICS

// The record of a misaligned pointer: where, type, logarithm of the alignment, kind of access.
void __ubsan_handle_type_mismatch_v1(const SourceLocation* where, void* p) {
  if (lockstep::emu::running_thread() < 0) return;
  lockstep::emu::fail_thread(cudaErrorMisalignedAddress, misaligned_text(*where, p));
}
void __ubsan_handle_out_of_bounds(const SourceLocation* where, void* index) {
  if (lockstep::emu::running_thread() < 0) return;
  lockstep::emu::fail_thread(cudaErrorIllegalAddress, index_text(*where, index));
}

}  // extern "C"
// NOLINTEND
