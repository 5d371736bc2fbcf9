// SPDX-License-Identifier: Apache-2.0
#include "core/base/host_info.h"

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

// The value in bytes of a "Name:  123 kB" line, or -1.
int64_t kb_field(const char* path, const std::string& name) {
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

int64_t cgroup_memory_left() {
  for (const auto& [limit_path, used_path] :
       {std::pair{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
        std::pair{"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"}}) {
    const int64_t limit = number_in(limit_path);
    const int64_t used = number_in(used_path);
    if (limit > 0 && used >= 0) return std::max<int64_t>(0, limit - used);
  }
  return std::numeric_limits<int64_t>::max();
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

int64_t available_memory_bytes() {
  const int64_t available = kb_field("/proc/meminfo", "MemAvailable");
  return std::min(available < 0 ? std::numeric_limits<int64_t>::max() : available, cgroup_memory_left());
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
