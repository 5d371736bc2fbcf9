// SPDX-License-Identifier: Apache-2.0
#include "kernels/backend.h"

#include <fmt/format.h>

#include "kernels/simd_targets.h"
// After simd_targets.h:
#include <hwy/highway.h>

#include "core/base/suggest.h"

namespace lockstep {

std::string_view backend_name(Backend backend) { return backend == Backend::kRef ? "ref" : "simd"; }

absl::StatusOr<Backend> parse_backend(std::string_view name) {
  for (const Backend backend : {Backend::kRef, Backend::kSimd}) {
    if (name == backend_name(backend)) return backend;
  }
  return absl::InvalidArgumentError(
      fmt::format("unknown backend `{}`: expected ref or simd{}", name, did_you_mean(name, {"ref", "simd"})));
}

// The best of the instruction sets that are both compiled in and supported here: the lowest bit, by Highway's order.
std::string simd_target_name() {
  const int64_t targets = static_cast<int64_t>(hwy::SupportedTargets()) & HWY_TARGETS;
  return hwy::TargetName(targets & -targets);
}

}  // namespace lockstep
