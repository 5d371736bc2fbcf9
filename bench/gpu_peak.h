// SPDX-License-Identifier: Apache-2.0
// The ceilings of this GPU (kernels/ceiling/ceiling.h), measured: the denominators of "per cent of peak".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/bench_row.h"
#include "bench/gpu_session.h"
#include "core/base/status.h"

namespace lockstep {

struct GpuPeaks {
  // Operations a second, by dtype; bytes a second, read and written. None where the device keeps no time, or the
  // result was wrong.
  std::optional<double> fp32, tf32, bf16, copy;
  std::vector<BenchRow> rows;

  std::optional<double> flops(const std::string& dtype) const {
    return dtype == "tf32" ? tf32 : dtype == "bf16" ? bf16 : fp32;
  }
  // The time below which neither arithmetic nor memory allow work of this size, over `seconds`, in per cent: which of
  // the two it is depends on the work. None without ceilings.
  std::optional<double> percent(const std::string& dtype, double flops, double bytes, double seconds) const;
};

// Each is the fastest of `runs` runs, and its result is checked; about a second in all.
absl::StatusOr<GpuPeaks> measure_gpu_peaks(GpuSession& session, int runs = 15);

}  // namespace lockstep
