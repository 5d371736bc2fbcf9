// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_peak.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/kernel_check.h"
#include "kernels/ceiling/ceiling.h"

namespace lockstep {
namespace {

struct Ceiling {
  CeilingKind kind;
  const char* name;
  const char* dtype;
  std::optional<double> GpuPeaks::*result;
};
constexpr Ceiling kCeilings[] = {{CeilingKind::kFma, "fused multiply-add", "fp32", &GpuPeaks::fp32},
                                 {CeilingKind::kTf32, "mma.sync", "tf32", &GpuPeaks::tf32},
                                 {CeilingKind::kBf16, "mma.sync", "bf16", &GpuPeaks::bf16},
                                 {CeilingKind::kCopy, "copy", "fp32", &GpuPeaks::copy}};

// Some 30 blocks a multiprocessor of the largest GPUs; copies of 2 x 256 MiB, more than any cache holds.
CeilingWork work_of(CeilingKind kind, bool emulated) {
  if (emulated) return {.kind = kind, .blocks = 2, .rounds = 3};
  if (kind == CeilingKind::kCopy) return {.kind = kind, .blocks = 1 << 14, .rounds = 4};
  return {.kind = kind, .blocks = 1 << 12, .rounds = kind == CeilingKind::kFma ? CeilingWork::kMostRounds : 1024};
}

absl::Status check(const CeilingWork& work, const std::vector<float>& from, const std::vector<float>& got) {
  constexpr float kExactly = 0;
  if (work.kind == CeilingKind::kCopy) return check_close(from, got, kExactly);
  return check_close(std::vector<float>(got.size(), work.expected()), got, kExactly);
}

// Of the fastest run, as on the CPU (fma_peak.h).
void fill(const CeilingWork& work, const Summary& seconds, const Ceiling& ceiling, BenchRow* row, GpuPeaks* peaks) {
  row->set_time(seconds);
  if (work.flops() > 0) row->gflops = work.flops() / seconds.best * 1e-9;
  if (work.bytes() > 0) row->gbytes_per_s = work.bytes() / seconds.best * 1e-9;
  peaks->*ceiling.result = std::max(work.flops(), work.bytes()) / seconds.best;
}

absl::StatusOr<BenchRow> measure(GpuSession& session, const Ceiling& ceiling, int runs, GpuPeaks* peaks) {
  const CeilingWork work = work_of(ceiling.kind, !session.keeps_time());
  const std::vector<float> values = bench_input(work.kind == CeilingKind::kCopy ? work.floats() : 0, 1);
  LOCKSTEP_ASSIGN_OR_RETURN(const auto from, DeviceBuffer<float>::allocate(session.device(), values.size()));
  LOCKSTEP_ASSIGN_OR_RETURN(const auto to,
                            DeviceBuffer<float>::allocate(session.device(), static_cast<size_t>(work.floats())));
  LOCKSTEP_RETURN_IF_ERROR(session.device().copy(from.data(), values.data(), from.bytes(), session.stream()));
  const DeviceContext context = session.context(Backend::kCuda);
  const auto enqueue = [&] { return session.library().run_ceiling(context, work, from.data(), to.data()); };
  LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<double> seconds, session.time(enqueue, runs));
  std::vector<float> got(to.size());
  LOCKSTEP_RETURN_IF_ERROR(session.device().copy(got.data(), to.data(), to.bytes(), session.stream()));
  LOCKSTEP_RETURN_IF_ERROR(session.device().synchronize(session.stream()));
  BenchRow row = session.row("gpu peak", ceiling.name);
  row.backend = row.dtype = ceiling.dtype;
  if (work.kind == CeilingKind::kCopy) row.shape = fmt::format("2 x {} MiB", to.bytes() >> 20);
  if (const absl::Status right = check(work, values, got); !right.ok()) {
    row.fail(std::string(right.message()));
  } else if (!seconds.empty()) {
    fill(work, summarize(seconds), ceiling, &row, peaks);
  }
  return row;
}

}  // namespace

std::optional<double> GpuPeaks::percent(const std::string& dtype, double operations, double bytes,
                                        double seconds) const {
  const std::optional<double> arithmetic = flops(dtype);
  if (!arithmetic || !copy || seconds <= 0) return std::nullopt;
  return 100 * std::max(operations / *arithmetic, bytes / *copy) / seconds;
}

absl::StatusOr<GpuPeaks> measure_gpu_peaks(GpuSession& session, int runs) {
  GpuPeaks peaks;
  for (const Ceiling& ceiling : kCeilings) {
    LOCKSTEP_ASSIGN_OR_RETURN(peaks.rows.emplace_back(), measure(session, ceiling, runs, &peaks));
  }
  return peaks;
}

}  // namespace lockstep
