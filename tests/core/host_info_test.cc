// SPDX-License-Identifier: Apache-2.0
#include "core/base/host_info.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <chrono>
#include <fstream>

#include "core/base/aligned_buffer.h"
#include "core/base/file.h"
#include "tests/support/tmp_dir.h"

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

// A made-up root of the file system.
class AvailableMemory : public testing::Test {
 protected:
  static constexpr int64_t kMiB = 1 << 20;

  AvailableMemory() { write("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable: 8192000 kB\n"); }
  void write(const std::string& path, const std::string& text) const {
    const std::string file = dir_.file(path);
    ASSERT_TRUE(make_directories(directory_name(file)).ok());
    std::ofstream(file) << text;
  }
  void write_group(const std::string& group, int64_t limit_mib, int64_t used_mib, const std::string& stat = "") const {
    write("sys/fs/cgroup" + group + "/memory.max", std::to_string(limit_mib * kMiB));
    write("sys/fs/cgroup" + group + "/memory.current", std::to_string(used_mib * kMiB));
    write("sys/fs/cgroup" + group + "/memory.stat", stat);
  }
  int64_t available_mib() const { return available_memory_bytes(dir_.path()) / kMiB; }

  const TmpDir dir_;
};

TEST_F(AvailableMemory, WithoutGroupsIsWhatTheHostHas) { EXPECT_EQ(available_mib(), 8000); }

TEST_F(AvailableMemory, CachedFilesAreFree) {
  write("proc/self/cgroup", "0::/\n");
  write_group("", 1000, 990);
  EXPECT_EQ(available_mib(), 10);
  write_group("", 1000, 990, "anon 4096\nactive_file 104857600\ninactive_file 209715200\nfile 5\n");
  EXPECT_EQ(available_mib(), 310);
}

TEST_F(AvailableMemory, SmallestLimitUpToTheRootWins) {
  write("proc/self/cgroup", "0::/slice/job/step\n");
  write_group("/slice/job/step", 1000, 100);
  EXPECT_EQ(available_mib(), 900);
  write_group("/slice", 700, 200);
  EXPECT_EQ(available_mib(), 500);
  write_group("/slice/other", 10, 10);
  EXPECT_EQ(available_mib(), 500);
  write("sys/fs/cgroup/slice/job/step/memory.max", "max");
  EXPECT_EQ(available_mib(), 500);
}

TEST_F(AvailableMemory, GroupOfTheHostSeenFromAContainerIsItsRoot) {
  write("proc/self/cgroup", "0::/system/docker-1\n");
  write_group("", 300, 100);
  EXPECT_EQ(available_mib(), 200);
}

TEST_F(AvailableMemory, FirstVersionOfGroupsHasOtherNames) {
  write("proc/self/cgroup", "12:cpuset:/elsewhere\n9:cpu,memory:/slurm/job\n1:name=systemd:/\n0::/\n");
  const std::string group = "sys/fs/cgroup/memory/slurm/job/";
  write(group + "memory.limit_in_bytes", std::to_string(400 * kMiB));
  write(group + "memory.usage_in_bytes", std::to_string(390 * kMiB));
  write(group + "memory.stat", "active_file 1\ntotal_active_file 52428800\ntotal_inactive_file 10485760\n");
  EXPECT_EQ(available_mib(), 70);
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1");
  EXPECT_EQ(available_mib(), 70);
}

}  // namespace
}  // namespace lockstep
