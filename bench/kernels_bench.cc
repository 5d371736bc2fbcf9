// SPDX-License-Identifier: Apache-2.0
// Each operator at the shapes of the reference network (batch 100) and at a large one, on all cores.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "bench/kernel_check.h"
#include "bench/kernel_work.h"
#include "bench/row_reporter.h"
#include "core/base/host_info.h"
#include "core/base/thread_pool.h"

namespace lockstep {
namespace {

ThreadPool& pool() {
  static ThreadPool all_cores(available_cores());
  return all_cores;
}

absl::StatusOr<std::vector<Result>> run_once(const KernelWork& work, const KernelContext& ctx) {
  HostOperands operands(work);
  LOCKSTEP_RETURN_IF_ERROR(work.run(ctx, operands.operands()));
  return operands.results(work);
}

// What is timed, with its threads and at its size, must give the bits of one thread: the reference would take minutes.
absl::Status check_pool(const KernelWork& work, const KernelContext& ctx) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<Result> expected, run_once(work, {.backend = ctx.backend}));
  LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<Result> got, run_once(work, ctx));
  for (size_t i = 0; i < expected.size(); ++i) {
    LOCKSTEP_RETURN_IF_ERROR(check_same_bits(expected[i].values, got[i].values));
  }
  return absl::OkStatus();
}

absl::Status check_sample(const KernelWork& sample) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<Result> expected, run_once(sample, {.backend = Backend::kRef}));
  LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<Result> got, run_once(sample, {.backend = Backend::kSimd}));
  return check_results(expected, got, kFloatTolerance);
}

void time_kernel(benchmark::State& state, const TimedKernel& kernel) {
  const KernelContext ctx{.backend = Backend::kSimd, .pool = &pool()};
  absl::Status status = check_sample(kernel.make(kernel.checked));
  const KernelWork work = kernel.make(kernel.N);
  if (status.ok()) status = check_pool(work, ctx);
  if (!status.ok()) {
    state.SkipWithError(std::string(status.message()).c_str());
    return;
  }
  HostOperands storage(work);
  const Operands operands = storage.operands();
  for (auto _ : state) {
    if (!work.run(ctx, operands).ok()) state.SkipWithError("the kernel returned an error");
    benchmark::ClobberMemory();
  }
  state.counters["flops"] = work.flops;
  state.counters["bytes"] = work.moved_bytes;
  state.counters["threads"] = pool().threads();
}

void add_all() {
  constexpr int64_t kBatch = 100;
  std::vector<TimedKernel> kernels = reference_kernels(kBatch);
  for (TimedKernel& kernel : large_kernels()) kernels.push_back(std::move(kernel));
  for (const TimedKernel& kernel : kernels) {
    benchmark::RegisterBenchmark(fmt::format("{}/{}", kernel.op, kernel.shape).c_str(), [kernel](
                                                                                            benchmark::State& state) {
      time_kernel(state, kernel);
    })->UseRealTime();
  }
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  lockstep::add_all();
  return lockstep::run_benchmarks(
      argc, argv, {.bench = "kernel", .backend = "simd " + lockstep::simd_target_name(), .dtype = "float32"});
}
