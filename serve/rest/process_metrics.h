// SPDX-License-Identifier: Apache-2.0
// What Prometheus' own clients report of a process. Thread-safe.
#pragma once

#include <string>

namespace lockstep {

// process_resident_memory_bytes, process_cpu_seconds_total, process_open_fds, process_start_time_seconds, in the text
// format of Prometheus. What the system does not tell is left out.
std::string process_metrics();

}  // namespace lockstep
