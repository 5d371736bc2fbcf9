// SPDX-License-Identifier: Apache-2.0
// What a GPU can do at most of one thing: fused multiply-adds, tensor-core products, moving memory. The denominators of
// a benchmark's "per cent of peak", measured where the benchmark runs.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "kernels/backend.h"

namespace lockstep {

enum class CeilingKind {
  kFma,   // float, on registers alone
  kTf32,  // mma.sync.m16n8k8, registers alone
  kBf16,  // mma.sync.m16n8k16, registers alone
  kCopy,  // device memory to device memory
};

// `blocks` of kThreads threads. Each thread (tensor cores: each warp) has kChains chains of products that do not depend
// on each other, `rounds` long; a copying thread moves 4 floats in each round.
struct CeilingWork {
  static constexpr int kThreads = 256, kWarp = 32, kChains = 16, kFragment = 4;

  CeilingKind kind = CeilingKind::kFma;
  int64_t blocks = 1;
  int rounds = 1;  // at most kMostRounds: the results are then whole numbers that a float holds exactly
  static constexpr int kMostRounds = 4096;

  int64_t threads() const { return blocks * kThreads; }
  // Floats that are written, and (copies) read.
  int64_t floats() const { return kind == CeilingKind::kCopy ? threads() * rounds * 4 : threads(); }
  // Products that are added to one number in a round: k of the instruction.
  int depth() const { return kind == CeilingKind::kTf32 ? 8 : kind == CeilingKind::kBf16 ? 16 : 1; }
  // Floating-point operations, two a multiply-add. A warp's instruction computes 16 x 8 numbers.
  double flops() const {
    if (kind == CeilingKind::kCopy) return 0;
    const double per_thread = kind == CeilingKind::kFma ? 1 : 16.0 * 8 / kWarp * depth();
    return 2.0 * static_cast<double>(threads()) * rounds * kChains * per_thread;
  }
  double bytes() const { return kind == CeilingKind::kCopy ? 8.0 * static_cast<double>(floats()) : 0; }
  // What each thread writes, unless it copies: the sum of its numbers, to each of which 1 was added depth() times a
  // round.
  float expected() const {
    const int numbers = kind == CeilingKind::kFma ? kChains : kChains * kFragment;
    return static_cast<float>(numbers * rounds * depth());
  }
};

namespace cuda {
// Enqueues it on the device context's stream. `from` (copies alone) and `to` have work.floats() floats, 16-byte
// aligned.
absl::Status run_ceiling(const DeviceContext& device, const CeilingWork& work, const float* from, float* to);
}  // namespace cuda

}  // namespace lockstep
