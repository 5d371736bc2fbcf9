// SPDX-License-Identifier: Apache-2.0
#include "core/base/host_info.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <chrono>

#include "core/base/aligned_buffer.h"

namespace lockstep {
namespace {

TEST(HostInfo, NamesThisMachine) {
  EXPECT_FALSE(host_name().empty());
  EXPECT_FALSE(cpu_model().empty());
}

TEST(HostInfo, CoresFollowTheAffinityMask) {
  cpu_set_t all, one;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(all), &all), 0);
  EXPECT_EQ(available_cores(), CPU_COUNT(&all));
  CPU_ZERO(&one);
  for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
  }
  ASSERT_EQ(::sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(available_cores(), 1);
  ASSERT_EQ(::sched_setaffinity(0, sizeof(all), &all), 0);
}

TEST(HostInfo, MemoryGrowsWithWhatIsTouched) {
  const int64_t before = resident_memory_bytes();
  EXPECT_GT(before, 0);
  EXPECT_GT(available_memory_bytes(), 0);
  const size_t bytes = size_t{64} << 20;
  AlignedBuffer<char> buffer(bytes);
  for (size_t i = 0; i < bytes; i += 4096) buffer[i] = 1;
  EXPECT_GT(resident_memory_bytes(), before + static_cast<int64_t>(bytes / 2));
  EXPECT_GE(peak_memory_bytes(), before + static_cast<int64_t>(bytes / 2));
}

TEST(HostInfo, CpuTimeGrowsWithWork) {
  const double before = process_cpu_seconds();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  volatile double work = 0;
  while (process_cpu_seconds() < before + 0.02 && std::chrono::steady_clock::now() < deadline) {
    for (int i = 0; i < 10000; ++i) work = work + i;
  }
  EXPECT_GE(process_cpu_seconds(), before + 0.02);
}

}  // namespace
}  // namespace lockstep
