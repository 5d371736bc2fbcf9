// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "bench/commands.h"
#include "bench/fma_peak.h"
#include "core/base/host_info.h"

namespace lockstep {
namespace {

struct PeakOptions {
  int runs = 15;
  bool json = false;
};

void run_peak(const PeakOptions& options) {
  std::vector<BenchRow> rows;
  const int cores = available_cores();
  for (const FmaPeak& peak : measure_fma_peaks(1, options.runs)) rows.push_back(to_row(peak));
  if (cores > 1) {
    for (const FmaPeak& peak : measure_fma_peaks(cores, options.runs)) rows.push_back(to_row(peak));
  }
  print_rows(rows, options.json);
}

}  // namespace

void add_peak_command(CLI::App* app, absl::Status*) {
  auto options = std::make_shared<PeakOptions>();
  CLI::App* command =
      app->add_subcommand("peak", "Fused multiply-add peak, one core and all cores, per instruction set");
  command->add_option("--runs", options->runs, "Runs of 20 ms each; the fastest counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_flag("--json", options->json, "Lines of JSON");
  command->callback([options] { run_peak(*options); });
}

}  // namespace lockstep
