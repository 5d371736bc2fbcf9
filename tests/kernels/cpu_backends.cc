// SPDX-License-Identifier: Apache-2.0
#include "tests/support/backends.h"

namespace lockstep {

std::vector<BackendCase> backends_under_test() { return all_backends(); }

// SSE4 and the scalar fallback have no fused multiply-add: their last bits differ, see docs/numerics.md.
std::vector<std::vector<BackendCase>> same_bits_backends() {
  std::vector<BackendCase> fused = simd_backends();
  std::erase_if(fused, [](const BackendCase& b) { return b.name != "simd_AVX3" && b.name != "simd_AVX2"; });
  return {fused};
}

}  // namespace lockstep
