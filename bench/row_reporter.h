// SPDX-License-Identifier: Apache-2.0
// Google Benchmark's results as our rows: the whole of main() for a micro-benchmark program.
//
// A benchmark's name is "operator/shape" (the shape may be missing). Counters it may set: "flops", "bytes" and "images"
// of one iteration, "threads". With --benchmark_repetitions above 1 the median repetition counts, and the spread is
// known.
#pragma once

#include <string>

namespace lockstep {

// What all rows of a program share.
struct RowKind {
  std::string bench;  // "kernel"
  std::string backend, dtype;
};

// Google Benchmark's flags, and --json. Returns the exit code: 1 when a benchmark failed, 2 for an unknown flag.
int run_benchmarks(int argc, char** argv, const RowKind& kind);

}  // namespace lockstep
