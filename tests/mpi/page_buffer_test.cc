// SPDX-License-Identifier: Apache-2.0
#include "mpi/page_buffer.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace lockstep {
namespace {

TEST(PageBuffer, SharedMemoryIsAlignedAndKeepsItsContentsOnHugePages) {
  constexpr size_t kFloats = 5 * PageBuffer::kHugePage / sizeof(float) / 2 + 77;  // ends within a huge and a small page
  const int fd = memfd_create("page_buffer_test", MFD_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(ftruncate(fd, kFloats * sizeof(float)), 0);
  auto one = PageBuffer::map_shared(fd, kFloats * sizeof(float));
  auto other = PageBuffer::map_shared(fd, kFloats * sizeof(float));
  close(fd);
  ASSERT_TRUE(one.ok()) << one.status();
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(one->data()) % PageBuffer::kHugePage, 0u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(other->data()) % PageBuffer::kHugePage, 0u);
  for (size_t i = 0; i < kFloats; ++i) one->data()[i] = static_cast<float>(i % 4096);
  one->join_pages(100, one->bytes());  // from the second huge page to the last whole one
  one->join_pages(0, 4096);            // none
  one->join_pages(0, one->bytes());
  for (size_t i = 0; i < kFloats; ++i) ASSERT_EQ(other->data()[i], static_cast<float>(i % 4096)) << i;
  other->data()[kFloats - 1] = -1;
  EXPECT_EQ(one->data()[kFloats - 1], -1);
}

TEST(PageBuffer, MappingWhatIsNoFileIsAnError) {
  EXPECT_EQ(PageBuffer::map_shared(-1, 4096).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace lockstep
