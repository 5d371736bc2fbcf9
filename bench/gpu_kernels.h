// SPDX-License-Identifier: Apache-2.0
// Operators on a GPU, our kernels and cuDNN's in turns.
#pragma once

#include <vector>

#include "bench/bench_row.h"
#include "bench/gpu_peak.h"
#include "bench/gpu_session.h"
#include "bench/kernel_work.h"
#include "core/base/status.h"
#include "core/base/thread_pool.h"

namespace lockstep {

// A row per backend and precision: time, operations and bytes a second, per cent of `peaks`; behind each of ours
// cuDNN's of the same precision, where it has the operator, with the ratio of the two times. Every result is compared
// with the CPU's (kernels in AVX, on `pool`) before it is timed: rows of wrong ones, and of those that return errors,
// have failed.
absl::StatusOr<std::vector<BenchRow>> measure_gpu_kernel(GpuSession& session, ThreadPool& pool, const GpuPeaks& peaks,
                                                         const TimedKernel& kernel, int runs = 15);

}  // namespace lockstep
