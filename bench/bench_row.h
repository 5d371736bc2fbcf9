// SPDX-License-Identifier: Apache-2.0
// The one format of a benchmark result, as text for people and as a line of JSON for programs. The README's tables are
// made of these lines.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

// Middle and spread of repeated measurements.
struct Summary {
  double median = 0;
  double spread = 0;  // (upper quartile - lower quartile) / median
  double best = 0;    // smallest
  int count = 0;
};
// Requires at least one value.
Summary summarize(std::vector<double> values);

struct BenchRow {
  // Where: filled by here().
  std::string commit;  // of the checkout, with "-dirty" when it had changes
  std::string cpu;
  int cores = 0;  // usable by this process
  // What.
  std::string bench;    // "peak", "train", "train phase", "kernel", "io", "all-reduce", "serve", "serve goal", "ratio"
  std::string name;     // "conv2d_fwd", "TensorFlow 2.21.0"
  std::string backend;  // "simd AVX3", "peer"
  std::string shape;    // "batch 100", "28x28x1 5x5x32"
  std::string dtype = "float32";
  int ranks = 1, threads = 1;  // 0: says nothing of them
  // How fast.
  double median_s = 0;          // of one step or call; 0 when time is not the measure
  double spread = 0;            // see Summary
  std::optional<double> p99_s;  // of a request, where median_s is of one
  std::optional<double> images_per_s, gflops, gbytes_per_s, percent_of_peak;
  std::optional<double> ratio;  // ours / theirs, above 1 when ours is faster
  // Of a goal, for people to read; numbers are in the rows that it was looked up in.
  std::string measured, goal;
  std::optional<bool> met;
  // Why the result that was timed is wrong; then tables say FAILED, and nothing of how fast. Empty: it was right.
  std::string failure;

  // A row with commit, cpu and cores of here and now.
  static BenchRow here(std::string bench, std::string name);
  // Takes median and spread from seconds per step.
  void set_time(const Summary& seconds);
  // Forgets how fast it was.
  void fail(std::string why);
};

std::string to_json(const BenchRow& row);
absl::StatusOr<BenchRow> parse_bench_row(std::string_view json);

// Aligned columns under a head line; columns that no row fills are left out. Ends with a newline.
std::string to_text(std::span<const BenchRow> rows);

// An error that names the failed rows; OK where there are none.
absl::Status failures_of(std::span<const BenchRow> rows);

// The `--json` switch of every benchmark: lines of JSON, or one table, on stdout.
void print_rows(std::span<const BenchRow> rows, bool json);

}  // namespace lockstep
