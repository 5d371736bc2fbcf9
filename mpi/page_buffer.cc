// SPDX-License-Identifier: Apache-2.0
#include "mpi/page_buffer.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

namespace lockstep {
namespace {

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // Linux 6.1
#endif

absl::Status map_error(size_t bytes) {
  return absl::ResourceExhaustedError(fmt::format("mapping {} bytes of memory: {}", bytes, std::strerror(errno)));
}

// Up to the next page.
size_t round_up_to_page(size_t bytes) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

size_t to_boundary(const void* address) { return -reinterpret_cast<uintptr_t>(address) & (PageBuffer::kHugePage - 1); }

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
  const size_t bytes = static_cast<size_t>(floats > 0 ? floats : 1) * sizeof(float);
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return map_error(bytes);
  // Only a wish: fewer TLB misses when the flat buffers are streamed. Refusal costs speed, not correctness.
  madvise(address, bytes, MADV_HUGEPAGE);
  return PageBuffer(address, bytes);
}

absl::StatusOr<PageBuffer> PageBuffer::map_shared(int fd, size_t bytes) {
  // A huge page of a file can be mapped as one only where its addresses begin at a multiple of its size, so a range
  // with room for that is taken first, and what lies around the file given back.
  const size_t room = bytes + kHugePage;
  void* reserved = mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reserved == MAP_FAILED) return map_error(room);
  const size_t before = to_boundary(reserved);
  char* const begin = static_cast<char*>(reserved) + before;
  if (mmap(begin, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
    const absl::Status error = map_error(bytes);
    munmap(reserved, room);
    return error;
  }
  char* const end = begin + round_up_to_page(bytes);
  if (before > 0) munmap(reserved, before);
  munmap(end, static_cast<size_t>(static_cast<char*>(reserved) + room - end));
  return PageBuffer(begin, bytes);
}

void PageBuffer::join_pages(size_t begin, size_t end) {
  char* const data = static_cast<char*>(address_);
  begin += to_boundary(data + begin);
  if (begin + kHugePage > end) return;
  madvise(data + begin, (end - begin) / kHugePage * kHugePage, MADV_COLLAPSE);
}

}  // namespace lockstep
