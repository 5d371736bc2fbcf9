// SPDX-License-Identifier: Apache-2.0
// Google Benchmark's results as our rows: the whole of main() for a micro-benchmark program.
//
// A benchmark's name is "operator/shape" (the shape may be missing). Counters it may set: "flops" and "bytes" of one
// iteration, "threads". With --benchmark_repetitions above 1 the median repetition counts, and the spread is known.
#pragma once

#include <string>

namespace lockstep {

// Google Benchmark's flags, and --json. `bench` is the rows' kind: "kernel". Returns the exit code: 1 when a benchmark
// failed, 2 for an unknown flag.
int run_benchmarks(int argc, char** argv, const std::string& bench);

}  // namespace lockstep
