// SPDX-License-Identifier: Apache-2.0
#include "core/base/rng.h"
#include "kernels/dropout/dropout_impl.h"

namespace lockstep::ref {
namespace {

// Forward and backward are the same map: drop to zero or scale.
void drop_or_scale(const DropoutParams& p, const float* from, float* to) {
  const double scale = 1.0 / (1.0 - double{p.rate});
  for (int64_t n = 0; n < p.N; ++n) {
    const RngStream stream(p.seed, RngPurpose::kDropout, p.step, p.first_example + static_cast<uint32_t>(n));
    for (int64_t u = 0; u < p.units; ++u) {
      const uint32_t element = (p.layer << 24) + static_cast<uint32_t>(u);
      const bool dropped = stream.uniform(element) < p.rate;
      const int64_t i = n * p.units + u;
      to[i] = dropped ? 0.0f : static_cast<float>(from[i] * scale);
    }
  }
}

}  // namespace

absl::Status dropout_fwd(const KernelContext&, const DropoutParams& p, const float* x, float* y) {
  drop_or_scale(p, x, y);
  return absl::OkStatus();
}

absl::Status dropout_bwd(const KernelContext&, const DropoutParams& p, const float* grad_y, float* grad_x) {
  drop_or_scale(p, grad_y, grad_x);
  return absl::OkStatus();
}

}  // namespace lockstep::ref
