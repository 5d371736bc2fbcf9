// SPDX-License-Identifier: Apache-2.0
// A buffer with guard words in front and behind. A kernel that writes past either end is found by intact(); one that
// reads past an end reads NaN, and under AddressSanitizer is stopped at once.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "core/base/aligned_buffer.h"

#if defined(LOCKSTEP_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#define LOCKSTEP_POISON(address, bytes) ASAN_POISON_MEMORY_REGION(address, bytes)
#define LOCKSTEP_UNPOISON(address, bytes) ASAN_UNPOISON_MEMORY_REGION(address, bytes)
#else
#define LOCKSTEP_POISON(address, bytes) void(0)
#define LOCKSTEP_UNPOISON(address, bytes) void(0)
#endif

namespace lockstep {

// Elements of 1 or 4 bytes. Not copyable: the guards belong to the address.
template <typename T>
class Guarded {
 public:
  // Elements start `misalign` elements after a 64-byte boundary. Filled with guard bytes: an output that is not
  // written shows up as NaN.
  explicit Guarded(int64_t size, int misalign = 0)
      : size_(static_cast<size_t>(size)),
        front_(kGuardBytes + static_cast<size_t>(misalign) * sizeof(T)),
        bytes_(front_ + size_ * sizeof(T) + kGuardBytes) {
    std::memset(bytes_.data(), kGuard, bytes_.size());
    poison();
  }
  explicit Guarded(const std::vector<T>& values, int misalign = 0)
      : Guarded(static_cast<int64_t>(values.size()), misalign) {
    original_ = values;
    if (size_ > 0) std::memcpy(data(), values.data(), size_ * sizeof(T));
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { unpoison(); }

  T* data() { return reinterpret_cast<T*>(bytes_.data() + front_); }
  const T* data() const { return reinterpret_cast<const T*>(bytes_.data() + front_); }
  std::span<const T> span() const { return {data(), size_}; }
  std::vector<T> values() const { return {data(), data() + size_}; }

  ::testing::AssertionResult intact() const {
    unpoison();
    const bool front_good = all_guard(0, front_);
    const bool back_good = all_guard(front_ + size_ * sizeof(T), bytes_.size());
    poison();
    if (front_good && back_good) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "the guard words " << (front_good ? "behind" : "in front of")
                                         << " a buffer of " << size_ << " elements were overwritten";
  }

  // For inputs: neither the guards nor the values that it was made from have changed.
  ::testing::AssertionResult untouched() const {
    if (const ::testing::AssertionResult guards = intact(); !guards) return guards;
    if (size_ == 0 || std::memcmp(data(), original_.data(), size_ * sizeof(T)) == 0) {
      return ::testing::AssertionSuccess();
    }
    return ::testing::AssertionFailure() << "an input of " << size_ << " elements was written to";
  }

 private:
  static constexpr size_t kGuardBytes = 256;
  static constexpr unsigned char kGuard = 0xFF;  // as float: a NaN

  bool all_guard(size_t begin, size_t end) const {
    for (size_t i = begin; i < end; ++i) {
      if (bytes_[i] != kGuard) return false;
    }
    return true;
  }
  void poison() const {
    LOCKSTEP_POISON(bytes_.data(), front_);
    LOCKSTEP_POISON(bytes_.data() + front_ + size_ * sizeof(T), kGuardBytes);
  }
  void unpoison() const { LOCKSTEP_UNPOISON(bytes_.data(), bytes_.size()); }

  size_t size_;
  size_t front_;
  std::vector<T> original_;
  AlignedBuffer<unsigned char> bytes_;
};

}  // namespace lockstep
