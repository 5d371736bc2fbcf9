// SPDX-License-Identifier: Apache-2.0
// The backends and instruction sets that a test is repeated for.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace lockstep {

struct BackendCase {
  Backend backend = Backend::kRef;
  int64_t target = 0;  // Highway's bit of the instruction set; 0 without meaning for the reference
  std::string name;    // "ref", "simd_AVX2", "cuda_descending"
  // Where not null: prepares a context of this backend, which is good for as long as the result lives.
  std::function<std::shared_ptr<void>(KernelContext& context)> enter;
  // How far a product's factors are rounded before they are multiplied, relatively: TF32, bfloat16.
  double factor_rounding = 0;
};
inline std::ostream& operator<<(std::ostream& out, const BackendCase& b) { return out << b.name; }

// One per instruction set that is compiled in and that this CPU has, best first.
std::vector<BackendCase> simd_backends();
// The same with the reference in front.
std::vector<BackendCase> all_backends();

// What a test program is about; defined once per program: all_backends(), or those of a GPU, real or emulated.
std::vector<BackendCase> backends_under_test();
// Groups that claim to give the same bits, one for each arithmetic; what differs within is not theirs to choose:
// instruction set, thread order, or on a GPU, whose order is its own, only the run. None: no device.
std::vector<std::vector<BackendCase>> same_bits_backends();

// While it lives, `backend` is ready: the SIMD kernels of this process use its instruction set, its device is there.
// Not while kernels run.
class ScopedBackend {
 public:
  explicit ScopedBackend(const BackendCase& backend);
  ~ScopedBackend();
  ScopedBackend(const ScopedBackend&) = delete;
  ScopedBackend& operator=(const ScopedBackend&) = delete;

  const KernelContext& context() const { return context_; }

 private:
  KernelContext context_;
  std::shared_ptr<void> entered_;
};

}  // namespace lockstep
