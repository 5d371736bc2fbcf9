// SPDX-License-Identifier: Apache-2.0
// Which implementation of an operator runs, and where.
#pragma once

#include <string>
#include <string_view>

#include "core/base/status.h"
#include "core/base/thread_pool.h"

namespace lockstep {

enum class Backend {
  kRef,   // plain loops, sums in double: the oracle
  kSimd,  // CPU, Highway, run-time dispatch over instruction sets
};

// "ref" or "simd".
std::string_view backend_name(Backend backend);
absl::StatusOr<Backend> parse_backend(std::string_view name);

// The instruction set that kSimd uses in this process, as Highway names it ("AVX3", "AVX2", …).
std::string simd_target_name();

// Passed to every operator. The pool is borrowed; null runs on the calling thread. An operator's result never depends
// on the number of threads.
struct KernelContext {
  Backend backend = Backend::kSimd;
  ThreadPool* pool = nullptr;
};

}  // namespace lockstep
