// SPDX-License-Identifier: Apache-2.0
#include "mpi/page_buffer.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace lockstep {
namespace {

absl::StatusOr<void*> map_pages(size_t bytes, int flags, int fd) {
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (address == MAP_FAILED)
    return absl::ResourceExhaustedError(fmt::format("mapping {} bytes of memory: {}", bytes, std::strerror(errno)));
  // Only a wish: fewer TLB misses when the flat buffers are streamed. Refusal costs speed, not correctness.
  madvise(address, bytes, MADV_HUGEPAGE);
  return address;
}

}  // namespace

PageBuffer::PageBuffer(PageBuffer&& other) noexcept
    : address_(std::exchange(other.address_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

PageBuffer& PageBuffer::operator=(PageBuffer&& other) noexcept {
  std::swap(address_, other.address_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

PageBuffer::~PageBuffer() {
  if (address_ != nullptr) munmap(address_, bytes_);
}

absl::StatusOr<PageBuffer> PageBuffer::allocate(int64_t floats) {
  PageBuffer buffer;
  const size_t bytes = static_cast<size_t>(floats > 0 ? floats : 1) * sizeof(float);
  LOCKSTEP_ASSIGN_OR_RETURN(buffer.address_, map_pages(bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1));
  buffer.bytes_ = bytes;
  return buffer;
}

absl::StatusOr<PageBuffer> PageBuffer::map_shared(int fd, size_t bytes) {
  PageBuffer buffer;
  LOCKSTEP_ASSIGN_OR_RETURN(buffer.address_, map_pages(bytes, MAP_SHARED, fd));
  buffer.bytes_ = bytes;
  return buffer;
}

}  // namespace lockstep
