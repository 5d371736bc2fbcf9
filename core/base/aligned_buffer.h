// SPDX-License-Identifier: Apache-2.0
// One owned, aligned, zero-filled host allocation of trivially copyable elements. Move-only. Large ones ask for huge
// pages: a step touches every page of the weights, and misses of the address-translation cache would cost a tenth of
// it.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <type_traits>

#include "core/base/check.h"

namespace lockstep {

template <typename T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  // A cache line and the widest vector register.
  static constexpr size_t kAlignment = 64;
  static constexpr size_t kHugePage = size_t{2} << 20;

  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t size) : size_(size) {
    const size_t alignment = size * sizeof(T) >= 2 * kHugePage ? kHugePage : kAlignment;
    const size_t bytes = (size * sizeof(T) + alignment - 1) / alignment * alignment;
    if (bytes == 0) return;
    data_.reset(static_cast<T*>(std::aligned_alloc(alignment, bytes)));
    LOCKSTEP_CHECK(data_ != nullptr);
    if (alignment == kHugePage) ::madvise(static_cast<void*>(data_.get()), bytes, MADV_HUGEPAGE);  // best effort
    std::memset(static_cast<void*>(data_.get()), 0, bytes);
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  size_t size() const { return size_; }
  T& operator[](size_t i) { return data_.get()[i]; }
  const T& operator[](size_t i) const { return data_.get()[i]; }
  std::span<T> span() { return {data(), size_}; }
  std::span<const T> span() const { return {data(), size_}; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(static_cast<void*>(p)); }
  };
  std::unique_ptr<T, Free> data_;
  size_t size_ = 0;
};

}  // namespace lockstep
