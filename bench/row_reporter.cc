// SPDX-License-Identifier: Apache-2.0
#include "bench/row_reporter.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <map>
#include <string_view>
#include <vector>

#include "bench/bench_row.h"

namespace lockstep {
namespace {

class RowReporter : public benchmark::BenchmarkReporter {
 public:
  explicit RowReporter(RowKind kind) : kind_(std::move(kind)) {}

  bool ReportContext(const Context&) override { return true; }

  // All repetitions of one benchmark arrive together.
  void ReportRuns(const std::vector<Run>& runs) override {
    std::vector<double> seconds;
    for (const Run& run : runs) {
      if (run.error_occurred) {
        fmt::print(stderr, "FAILED {}: {}\n", run.benchmark_name(), run.error_message);
        failed_ = true;
      } else if (run.run_type == Run::RT_Iteration) {
        seconds.push_back(run.real_accumulated_time / static_cast<double>(run.iterations));
      }
    }
    if (!seconds.empty()) rows_.push_back(make_row(runs.front(), summarize(seconds)));
  }

  const std::vector<BenchRow>& rows() const { return rows_; }
  bool failed() const { return failed_; }

 private:
  BenchRow make_row(const Run& run, const Summary& seconds) const {
    const std::string& name = run.run_name.function_name;
    const size_t slash = name.find('/');
    BenchRow row = BenchRow::here(kind_.bench, name.substr(0, slash));
    row.backend = kind_.backend;
    row.dtype = kind_.dtype;
    if (slash != std::string::npos) row.shape = name.substr(slash + 1);
    row.set_time(seconds);
    const auto counter = [&run](const char* key) {
      const auto it = run.counters.find(key);
      return it == run.counters.end() ? 0.0 : it->second.value;
    };
    if (counter("flops") > 0) row.gflops = counter("flops") / seconds.median * 1e-9;
    if (counter("bytes") > 0) row.gbytes_per_s = counter("bytes") / seconds.median * 1e-9;
    if (counter("images") > 0) row.images_per_s = counter("images") / seconds.median;
    if (counter("threads") > 0) row.threads = static_cast<int>(counter("threads"));
    return row;
  }

  const RowKind kind_;
  std::vector<BenchRow> rows_;
  bool failed_ = false;
};

// Removes --json from the arguments; true when it was there.
bool take_json_flag(int* argc, char** argv) {
  int kept = 0;
  bool found = false;
  for (int i = 0; i < *argc; ++i) {
    if (std::string_view(argv[i]) == "--json") {
      found = true;
    } else {
      argv[kept++] = argv[i];
    }
  }
  *argc = kept;
  return found;
}

}  // namespace

int run_benchmarks(int argc, char** argv, const RowKind& kind) {
  const bool json = take_json_flag(&argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  RowReporter reporter(kind);
  benchmark::RunSpecifiedBenchmarks(&reporter);
  print_rows(reporter.rows(), json);
  return reporter.failed() ? 1 : 0;
}

}  // namespace lockstep
