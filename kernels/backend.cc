// SPDX-License-Identifier: Apache-2.0
#include "kernels/backend.h"

#include <fmt/format.h>

#include "kernels/simd_targets.h"
// After simd_targets.h:
#include <hwy/highway.h>

#include "core/base/suggest.h"

namespace lockstep {

std::string_view backend_name(Backend backend) {
  switch (backend) {
    case Backend::kRef:
      return "ref";
    case Backend::kSimd:
      return "simd";
    case Backend::kCuda:
      return "cuda";
    case Backend::kCudnn:
      return "cudnn";
  }
  return "";
}

absl::StatusOr<Backend> parse_backend(std::string_view name) {
  for (const Backend backend : {Backend::kRef, Backend::kSimd, Backend::kCuda, Backend::kCudnn}) {
    if (name == backend_name(backend)) return backend;
  }
  return absl::InvalidArgumentError(fmt::format("unknown backend `{}`: expected ref, simd, cuda or cudnn{}", name,
                                                did_you_mean(name, {"ref", "simd", "cuda", "cudnn"})));
}

// The best of the instruction sets that are both compiled in and supported here: the lowest bit, by Highway's order.
std::string simd_target_name() {
  const int64_t targets = static_cast<int64_t>(hwy::SupportedTargets()) & HWY_TARGETS;
  return hwy::TargetName(targets & -targets);
}

}  // namespace lockstep
