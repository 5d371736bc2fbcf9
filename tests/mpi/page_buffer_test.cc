// SPDX-License-Identifier: Apache-2.0
#include "mpi/page_buffer.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

namespace lockstep {
namespace {

// Ends within a huge page and within a small one.
constexpr size_t kFloats = 5 * PageBuffer::kHugePage / sizeof(float) / 2 + 77;
constexpr size_t kBytes = kFloats * sizeof(float);

int open_shared_memory() {
  const int fd = memfd_create("page_buffer_test", MFD_CLOEXEC);
  EXPECT_GE(fd, 0);
  EXPECT_EQ(ftruncate(fd, kBytes), 0);
  return fd;
}

// Huge pages that the mapping at `address` reaches by one entry of the page table each; -1: the system does not tell.
int64_t huge_pages_at(const void* address) {
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0, end = 0;
    int64_t kib = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2)
      inside = begin <= reinterpret_cast<uintptr_t>(address) && reinterpret_cast<uintptr_t>(address) < end;
    if (inside && std::sscanf(line.c_str(), "ShmemPmdMapped: %" SCNd64, &kib) == 1)
      return kib * 1024 / static_cast<int64_t>(PageBuffer::kHugePage);
  }
  return -1;
}

// Asks for one huge page of shared memory, without the code under test.
bool system_has_huge_pages() {
  constexpr int kCollapse = 25;  // MADV_COLLAPSE
  const int fd = open_shared_memory();
  auto buffer = PageBuffer::map_shared(fd, kBytes);
  close(fd);
  if (!buffer.ok()) return false;
  buffer->data()[0] = 1;
  return madvise(buffer->data(), PageBuffer::kHugePage, kCollapse) == 0;
}

TEST(PageBuffer, SharedMemoryBeginsAtAHugePageAndIsSeenByAll) {
  const int fd = open_shared_memory();
  auto one = PageBuffer::map_shared(fd, kBytes);
  auto other = PageBuffer::map_shared(fd, kBytes);
  close(fd);
  ASSERT_TRUE(one.ok()) << one.status();
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(one->data()) % PageBuffer::kHugePage, 0u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(other->data()) % PageBuffer::kHugePage, 0u);
  for (size_t i = 0; i < kFloats; ++i) one->data()[i] = static_cast<float>(i % 4096);
  one->join_pages(0, one->bytes());
  for (size_t i = 0; i < kFloats; ++i) ASSERT_EQ(other->data()[i], static_cast<float>(i % 4096)) << i;
  other->data()[kFloats - 1] = -1;
  EXPECT_EQ(one->data()[kFloats - 1], -1);
}

TEST(PageBuffer, JoinsTheWholeHugePagesWithinARange) {
  const int fd = open_shared_memory();
  auto buffer = PageBuffer::map_shared(fd, kBytes);
  close(fd);
  ASSERT_TRUE(buffer.ok()) << buffer.status();
  for (size_t i = 0; i < kFloats; ++i) buffer->data()[i] = 1;
  if (huge_pages_at(buffer->data()) != 0)
    GTEST_SKIP() << "the system gives shared memory huge pages by itself, or does not tell";
  if (!system_has_huge_pages()) GTEST_SKIP() << "the system has no huge pages for shared memory";
  buffer->join_pages(0, PageBuffer::kHugePage - 1);
  EXPECT_EQ(huge_pages_at(buffer->data()), 0);
  buffer->join_pages(100, buffer->bytes());  // begins within the first, ends within the third
  EXPECT_EQ(huge_pages_at(buffer->data()), 1);
  buffer->join_pages(0, buffer->bytes());
  EXPECT_EQ(huge_pages_at(buffer->data()), 2);
}

TEST(PageBuffer, MappingWhatIsNoFileIsAnError) {
  EXPECT_EQ(PageBuffer::map_shared(-1, 4096).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace lockstep
