// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_ops.h"

namespace lockstep {

absl::Status zero_gradients(const KernelContext& ctx, const GradSlices& slices, const SizedGrad& grad_w,
                            const SizedGrad& grad_b) {
  for (const SizedGrad& g : {grad_w, grad_b}) {
    for (size_t t = 0; t < slices.subtrees.size(); ++t) {
      float* const partial = g.grad.data + static_cast<int64_t>(t) * g.grad.stride;
      LOCKSTEP_RETURN_IF_ERROR(
          ctx.device->device->fill_zero(partial, static_cast<size_t>(g.size) * sizeof(float), ctx.device->stream));
    }
  }
  return absl::OkStatus();
}

}  // namespace lockstep
