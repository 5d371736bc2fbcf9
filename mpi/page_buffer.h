// SPDX-License-Identifier: Apache-2.0
// Large zero-filled float arrays on pages of their own, on huge pages where the system offers them. Move-only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/status.h"

namespace lockstep {

class PageBuffer {
 public:
  static constexpr size_t kHugePage = size_t{2} << 20;

  PageBuffer() = default;
  PageBuffer(PageBuffer&& other) noexcept;
  PageBuffer& operator=(PageBuffer&& other) noexcept;
  ~PageBuffer();

  // Private memory of this process. Pages are placed by the thread that first writes them.
  static absl::StatusOr<PageBuffer> allocate(int64_t floats);
  // The first `bytes` of the file `fd`, shared with every process that maps it, at a multiple of kHugePage. The
  // descriptor may be closed afterwards.
  static absl::StatusOr<PageBuffer> map_shared(int fd, size_t bytes);

  // Puts the whole huge pages within the bytes [begin, end) on such pages, with what has been written there. Shared
  // memory gets them no other way where the system's setting (transparent_hugepage/shmem_enabled) is "never", as it
  // mostly is. Only a wish: refusal, also by a Linux before 6.1, costs speed, not correctness.
  void join_pages(size_t begin, size_t end);

  float* data() const { return static_cast<float*>(address_); }
  size_t bytes() const { return bytes_; }

 private:
  PageBuffer(void* address, size_t bytes) : address_(address), bytes_(bytes) {}

  void* address_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace lockstep
