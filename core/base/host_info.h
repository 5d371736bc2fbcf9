// SPDX-License-Identifier: Apache-2.0
// Facts about this host and process, read from the operating system.
#pragma once

#include <cstdint>
#include <string>

namespace lockstep {

std::string host_name();

// Processors this process may run on (affinity mask), at least 1.
int available_cores();

// Bytes that can still be allocated without swapping: the smallest of MemAvailable and what the limits of this
// process's control group, and of the groups around it, leave. Memory that only caches files counts as available.
// `root` stands for the root of the file system in tests.
int64_t available_memory_bytes(const std::string& root = "");

// Resident set of this process: now, and the highest so far.
int64_t resident_memory_bytes();
int64_t peak_memory_bytes();

// User plus system CPU seconds of this process so far.
double process_cpu_seconds();

// CPU model name as /proc/cpuinfo gives it.
std::string cpu_model();

}  // namespace lockstep
