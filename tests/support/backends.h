// SPDX-License-Identifier: Apache-2.0
// The backends and instruction sets that a test is repeated for.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace lockstep {

struct BackendCase {
  Backend backend = Backend::kRef;
  int64_t target = 0;  // Highway's bit of the instruction set; 0 without meaning for the reference
  std::string name;    // "ref", "simd_AVX2"
};
inline std::ostream& operator<<(std::ostream& out, const BackendCase& b) { return out << b.name; }

// One per instruction set that is compiled in and that this CPU has, best first.
std::vector<BackendCase> simd_backends();
// The same with the reference in front.
std::vector<BackendCase> all_backends();

// While it lives, the SIMD kernels of this process use the instruction set of `backend`. Not while kernels run.
class ScopedBackend {
 public:
  explicit ScopedBackend(const BackendCase& backend);
  ~ScopedBackend();
  ScopedBackend(const ScopedBackend&) = delete;
  ScopedBackend& operator=(const ScopedBackend&) = delete;

  const KernelContext& context() const { return context_; }

 private:
  KernelContext context_;
};

}  // namespace lockstep
