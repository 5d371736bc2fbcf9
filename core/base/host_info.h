// SPDX-License-Identifier: Apache-2.0
// Facts about this host and process, read from the operating system.
#pragma once

#include <cstdint>
#include <string>

namespace lockstep {

std::string host_name();

// Processors this process may run on (affinity mask), at least 1.
int available_cores();

// Bytes that can still be allocated without swapping: the smaller of MemAvailable and what the cgroup leaves.
int64_t available_memory_bytes();

// Resident set of this process: now, and the highest so far.
int64_t resident_memory_bytes();
int64_t peak_memory_bytes();

// User plus system CPU seconds of this process so far.
double process_cpu_seconds();

// CPU model name as /proc/cpuinfo gives it.
std::string cpu_model();

}  // namespace lockstep
