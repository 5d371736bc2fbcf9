// SPDX-License-Identifier: Apache-2.0
#include "core/base/host_info.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>

namespace lockstep {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

// The value in bytes of a "Name:  123 kB" line, or -1.
int64_t kb_field(const std::string& path, const std::string& name) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (line.compare(0, name.size() + 1, name + ":") != 0) continue;
    std::istringstream fields(line.substr(name.size() + 1));
    int64_t kb = -1;
    if (fields >> kb) return kb * 1024;
  }
  return -1;
}

// A number in a one-line file, or -1 ("max", missing file).
int64_t number_in(const std::string& path) {
  std::ifstream in(path);
  int64_t value = -1;
  return in >> value ? value : -1;
}

// The value of a "name 123" line, or 0.
int64_t stat_field(const std::string& path, const std::string& name) {
  std::ifstream in(path);
  int64_t value = 0;
  for (std::string key; in >> key >> value;) {
    if (key == name) return value;
  }
  return 0;
}

// One version of control groups: where its groups are, and what its files are called.
struct CgroupVersion {
  std::string mount, group;
  const char *limit, *used, *active_file, *inactive_file;
};

// What the group's limit leaves. Pages that cache files count as used, but the kernel drops them before it lets an
// allocation fail: they are free in all but name, and after reading a large data set they are most of what is used.
int64_t left_in_group(const CgroupVersion& version, const std::string& directory) {
  const int64_t limit = number_in(directory + version.limit), used = number_in(directory + version.used);
  if (limit < 0 || used < 0) return kUnlimited;
  const std::string stat = directory + "/memory.stat";
  const int64_t cached = stat_field(stat, version.active_file) + stat_field(stat, version.inactive_file);
  return std::clamp<int64_t>(limit - used + cached, 0, limit);
}

// A group's limit holds for all groups inside it: the smallest one up to the root counts. In a container the path may
// be that of the host, of which only the root is to be seen here; groups that are not are passed over.
int64_t left_up_to_root(const CgroupVersion& version) {
  int64_t left = left_in_group(version, version.mount);
  for (std::string group = version.group; group.size() > 1; group.resize(group.rfind('/'))) {
    left = std::min(left, left_in_group(version, version.mount + group));
  }
  return left;
}

// Lines "0::/group" (version 2) and "9:cpu,memory:/group" (version 1).
int64_t cgroup_memory_left(const std::string& root) {
  const std::string mounts = root + "/sys/fs/cgroup";
  CgroupVersion two{mounts, "/", "/memory.max", "/memory.current", "active_file", "inactive_file"};
  CgroupVersion one{mounts + "/memory",   "/", "/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_active_file",
                    "total_inactive_file"};
  std::ifstream in(root + "/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos || line.compare(second + 1, 1, "/") != 0) continue;
    const std::string controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    if (controllers == ",,") two.group = line.substr(second + 1);
    if (controllers.find(",memory,") != std::string::npos) one.group = line.substr(second + 1);
  }
  return std::min(left_up_to_root(two), left_up_to_root(one));
}

}  // namespace

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof(name) - 1) != 0) return "unknown-host";
  return name;
}

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

int64_t available_memory_bytes(const std::string& root) {
  const int64_t available = kb_field(root + "/proc/meminfo", "MemAvailable");
  return std::min(available < 0 ? kUnlimited : available, cgroup_memory_left(root));
}

int64_t resident_memory_bytes() { return std::max<int64_t>(0, kb_field("/proc/self/status", "VmRSS")); }
int64_t peak_memory_bytes() { return std::max<int64_t>(0, kb_field("/proc/self/status", "VmHWM")); }

double process_cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::string cpu_model() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.compare(0, 10, "model name") == 0) {
      const size_t colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  }
  return "unknown CPU";
}

}  // namespace lockstep
