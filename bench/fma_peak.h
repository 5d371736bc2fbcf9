// SPDX-License-Identifier: Apache-2.0
// What the multipliers of this machine can do: the denominator of "per cent of peak".
#pragma once

#include <string>
#include <vector>

#include "bench/bench_row.h"

namespace lockstep {

struct FmaPeak {
  std::string target;  // instruction set, as Highway names it
  int threads = 0;
  Summary seconds;  // of `flops` on all threads together
  double flops = 0;

  // Of the fastest run: a peak is what the machine can do, and a "per cent of peak" must not gain from whatever else
  // slowed the machine down while the peak was measured. The spread tells how much that was.
  double gflops() const { return flops / seconds.best * 1e-9; }
};

// Fused multiply-adds on registers alone (two operations each), on `threads` threads at once, `runs` times of about
// 20 ms, once per instruction set of this CPU that has them; widest first.
std::vector<FmaPeak> measure_fma_peaks(int threads, int runs = 15);
// The widest one only.
FmaPeak measure_fma_peak(int threads, int runs = 15);

// One row of the bench "peak".
BenchRow to_row(const FmaPeak& peak);

}  // namespace lockstep
