// SPDX-License-Identifier: Apache-2.0
// What serving is meant to reach with the reference model, and whether it does.
#pragma once

#include <span>
#include <vector>

#include "bench/bench_row.h"

namespace lockstep {

// Of one run of `lockstep_bench serve`. Ratios are against the faster peer.
struct ServeFigures {
  std::span<const BenchRow> many_connections, one_connection, batches;  // of measure_shape(): ours first
  BenchRow inference, parsing, start;                                   // their median_s
};

// A row a goal, with `measured`, `goal` and `met`; those that need peers only where there are some.
std::vector<BenchRow> goal_rows(const ServeFigures& figures);

}  // namespace lockstep
