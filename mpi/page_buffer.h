// SPDX-License-Identifier: Apache-2.0
// Large zero-filled float arrays on pages of their own, on huge pages where the system offers them. Move-only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/status.h"

namespace lockstep {

class PageBuffer {
 public:
  PageBuffer() = default;
  PageBuffer(PageBuffer&& other) noexcept;
  PageBuffer& operator=(PageBuffer&& other) noexcept;
  ~PageBuffer();

  // Private memory of this process. Pages are placed by the thread that first writes them.
  static absl::StatusOr<PageBuffer> allocate(int64_t floats);
  // The first `bytes` of the file `fd`, shared with every process that maps it. The descriptor may be closed
  // afterwards.
  static absl::StatusOr<PageBuffer> map_shared(int fd, size_t bytes);

  float* data() const { return static_cast<float*>(address_); }
  size_t bytes() const { return bytes_; }

 private:
  void* address_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace lockstep
