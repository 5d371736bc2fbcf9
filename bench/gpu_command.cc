// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "bench/commands.h"
#include "bench/gpu_kernels.h"
#include "bench/gpu_peak.h"
#include "core/base/host_info.h"
#include "core/base/log.h"

namespace lockstep {
namespace {

struct GpuOptions {
  std::string shapes = "all", filter;
  std::vector<int64_t> batches{100, 1024, 8192};
  int runs = 15;
  bool json = false;
};

std::vector<TimedKernel> chosen_kernels(const GpuOptions& options) {
  std::vector<TimedKernel> kernels;
  const auto add = [&](const std::vector<TimedKernel>& more) {
    for (const TimedKernel& kernel : more) {
      if (kernel.op.find(options.filter) != std::string::npos) kernels.push_back(kernel);
    }
  };
  if (options.shapes == "tiny") add(tiny_kernels());
  if (options.shapes == "all" || options.shapes == "reference") {
    for (const int64_t batch : options.batches) add(reference_kernels(batch));
  }
  if (options.shapes == "all" || options.shapes == "large") add(large_kernels());
  return kernels;
}

absl::Status finish(const std::vector<BenchRow>& rows, const GpuOptions& options) {
  print_rows(rows, options.json);
  return failures_of(rows);
}

absl::Status run_peak(const GpuOptions& options) {
  const auto session = GpuSession::open();
  if (!session.ok()) return not_run(session.status());
  LOCKSTEP_ASSIGN_OR_RETURN(const GpuPeaks peaks, measure_gpu_peaks(**session, options.runs));
  return finish(peaks.rows, options);
}

absl::Status run_kernels(const GpuOptions& options) {
  const auto session = GpuSession::open();
  if (!session.ok()) return not_run(session.status());
  if ((*session)->library().cudnn == nullptr) LOG_WARNING("the CUDA library was built without cuDNN: no rows of it");
  ThreadPool pool(available_cores());
  LOCKSTEP_ASSIGN_OR_RETURN(const GpuPeaks peaks, measure_gpu_peaks(**session, options.runs));
  std::vector<BenchRow> rows = peaks.rows;
  for (const TimedKernel& kernel : chosen_kernels(options)) {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<BenchRow> more,
                              measure_gpu_kernel(**session, pool, peaks, kernel, options.runs));
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return finish(rows, options);
}

CLI::App* add_command(CLI::App* app, const char* name, const char* what, GpuOptions* options) {
  CLI::App* command = app->add_subcommand(name, what);
  command->add_option("--runs", options->runs, "Runs of about a millisecond each; the median counts, of peaks the best")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_flag("--json", options->json, "Lines of JSON");
  return command;
}

}  // namespace

void add_gpu_peak_command(CLI::App* app, absl::Status* status) {
  auto options = std::make_shared<GpuOptions>();
  CLI::App* command = add_command(app, "gpu_peak",
                                  "The first GPU's ceilings: float, TF32 and bfloat16 products, copies", options.get());
  command->callback([options, status] { *status = run_peak(*options); });
}

void add_gpu_kernels_command(CLI::App* app, absl::Status* status) {
  auto options = std::make_shared<GpuOptions>();
  CLI::App* command = add_command(
      app, "gpu_kernels", "Operators on the first GPU, ours against cuDNN, in per cent of its ceilings", options.get());
  command
      ->add_option("--shapes", options->shapes, "reference (network), large, all (both), or tiny (for trying it out)")
      ->capture_default_str()
      ->check(CLI::IsMember({"reference", "large", "all", "tiny"}));
  command->add_option("--batch", options->batches, "Batches of the reference network's layers")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 17));
  command->add_option("--filter", options->filter, "Only operators with this in their name");
  command->callback([options, status] { *status = run_kernels(*options); });
}

}  // namespace lockstep
