// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/process_metrics.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace lockstep {
namespace {

// Initialized before main(): within milliseconds of the process's start.
const double started_s = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();

void append(std::string& out, const char* name, const char* type, double value) {
  out += fmt::format("# TYPE {0} {1}\n{0} {2}\n", name, type, value);
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

}  // namespace

std::string process_metrics() {
  std::string out;
  int64_t total_pages = 0, resident_pages = 0;
  if (std::ifstream("/proc/self/statm") >> total_pages >> resident_pages) {
    append(out, "process_resident_memory_bytes", "gauge", static_cast<double>(resident_pages * sysconf(_SC_PAGESIZE)));
  }
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    append(out, "process_cpu_seconds_total", "counter", seconds(usage.ru_utime) + seconds(usage.ru_stime));
  }
  std::error_code error;
  const auto files = std::filesystem::directory_iterator("/proc/self/fd", error);
  if (!error) append(out, "process_open_fds", "gauge", static_cast<double>(std::distance(begin(files), end(files))));
  append(out, "process_start_time_seconds", "gauge", started_s);
  return out;
}

}  // namespace lockstep
