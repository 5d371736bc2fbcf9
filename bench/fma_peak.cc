// SPDX-License-Identifier: Apache-2.0
#include "bench/fma_peak.h"

#include <fmt/format.h>

#include <chrono>

#include "core/base/thread_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/fma_peak.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Does `rounds` fused multiply-adds on each of twelve vectors and returns how many lanes a vector has. Twelve chains:
// two multipliers times a latency of four or five cycles, and still within the sixteen registers of AVX2. The values
// approach 1, far from denormals. Each chain starts elsewhere, or the compiler finds them equal, runs one, and the
// "peak" is twelve times a latency. The sum is stored, or the compiler would drop the loop.
int fma_rounds(int64_t rounds, float* sum) {
  const hn::ScalableTag<float> d;
  const auto scale = hn::Set(d, 0.5f), add = hn::Set(d, 0.5f);
  auto a0 = hn::Set(d, 1.5f);
  auto a1 = hn::Set(d, 1.625f);
  auto a2 = hn::Set(d, 1.75f);
  auto a3 = hn::Set(d, 1.875f);
  auto a4 = hn::Set(d, 2.0f);
  auto a5 = hn::Set(d, 2.125f);
  auto a6 = hn::Set(d, 2.25f);
  auto a7 = hn::Set(d, 2.375f);
  auto a8 = hn::Set(d, 2.5f);
  auto a9 = hn::Set(d, 2.625f);
  auto a10 = hn::Set(d, 2.75f);
  auto a11 = hn::Set(d, 2.875f);
  for (int64_t i = 0; i < rounds; ++i) {
    a0 = hn::MulAdd(a0, scale, add);
    a1 = hn::MulAdd(a1, scale, add);
    a2 = hn::MulAdd(a2, scale, add);
    a3 = hn::MulAdd(a3, scale, add);
    a4 = hn::MulAdd(a4, scale, add);
    a5 = hn::MulAdd(a5, scale, add);
    a6 = hn::MulAdd(a6, scale, add);
    a7 = hn::MulAdd(a7, scale, add);
    a8 = hn::MulAdd(a8, scale, add);
    a9 = hn::MulAdd(a9, scale, add);
    a10 = hn::MulAdd(a10, scale, add);
    a11 = hn::MulAdd(a11, scale, add);
  }
  const auto low = hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(a4, a5));
  const auto high = hn::Add(hn::Add(hn::Add(a6, a7), hn::Add(a8, a9)), hn::Add(a10, a11));
  *sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(low, high)));
  return static_cast<int>(hn::Lanes(d));
}

}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {
namespace {

HWY_EXPORT(fma_rounds);
constexpr int kChains = 12;

// While it lives, Highway dispatches to one instruction set only.
class ScopedTarget {
 public:
  explicit ScopedTarget(int64_t target) { set(target); }
  ~ScopedTarget() { set(0); }
  ScopedTarget(const ScopedTarget&) = delete;
  ScopedTarget& operator=(const ScopedTarget&) = delete;

 private:
  static void set(int64_t targets) {
    hwy::SetSupportedTargetsForTest(targets);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

// Each result in its own cache line.
struct alignas(64) ThreadSum {
  float value = 0;
  int lanes = 0;
};

double run_once(ThreadPool* pool, int64_t rounds, std::vector<ThreadSum>* sums) {
  const auto start = std::chrono::steady_clock::now();
  pool->parallel_for(pool->threads(), [&](int64_t i, int) {
    ThreadSum& sum = (*sums)[static_cast<size_t>(i)];
    sum.lanes = HWY_DYNAMIC_DISPATCH(fma_rounds)(rounds, &sum.value);
  });
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

FmaPeak measure(ThreadPool* pool, int64_t target, int runs) {
  const ScopedTarget scope(target);
  std::vector<ThreadSum> sums(static_cast<size_t>(pool->threads()));
  int64_t rounds = 100000;
  run_once(pool, rounds, &sums);  // wakes the threads, and the wide units
  constexpr double kRunSeconds = 0.02;
  rounds = static_cast<int64_t>(static_cast<double>(rounds) * kRunSeconds / run_once(pool, rounds, &sums)) + 1;
  std::vector<double> seconds;
  for (int i = 0; i < runs; ++i) seconds.push_back(run_once(pool, rounds, &sums));
  const double flops = 2.0 * kChains * sums[0].lanes * static_cast<double>(rounds) * pool->threads();
  return {hwy::TargetName(target), pool->threads(), summarize(seconds), flops};
}

// Instruction sets with fused multiply-add, widest first. AVX3_DL has the float units of AVX3.
std::vector<int64_t> fma_targets() {
  std::vector<int64_t> targets;
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    const bool no_fma = (target & (HWY_SSSE3 | HWY_SSE4 | HWY_SCALAR | HWY_EMU128)) != 0;
    if (!no_fma && !(target == HWY_AVX3 && !targets.empty())) targets.push_back(target);
  }
  if (targets.empty()) targets = hwy::SupportedAndGeneratedTargets();
  return targets;
}

}  // namespace

std::vector<FmaPeak> measure_fma_peaks(int threads, int runs) {
  ThreadPool pool(threads);
  std::vector<FmaPeak> peaks;
  for (const int64_t target : fma_targets()) peaks.push_back(measure(&pool, target, runs));
  return peaks;
}

FmaPeak measure_fma_peak(int threads, int runs) {
  ThreadPool pool(threads);
  return measure(&pool, fma_targets().front(), runs);
}

BenchRow to_row(const FmaPeak& peak) {
  BenchRow row = BenchRow::here("peak", "fused multiply-add");
  row.backend = "simd " + peak.target;
  row.threads = peak.threads;
  row.spread = peak.seconds.spread;
  row.gflops = peak.gflops();
  return row;
}

}  // namespace lockstep
#endif  // HWY_ONCE
