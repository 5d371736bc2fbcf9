// SPDX-License-Identifier: Apache-2.0
#include "kernels/images/images.h"

#include "kernels/arguments.h"
#include "kernels/device_ops.h"

namespace lockstep {

// One version serves all CPU backends: the compiler vectorises the loop, and it is bound by memory.
absl::Status scale_images(const KernelContext& ctx, int64_t count, const uint8_t* bytes, float* x) {
  LOCKSTEP_RETURN_IF_ERROR(check_not_negative("scale_images", {{"count", count}}));
  if (count == 0) return absl::OkStatus();
  return is_device(ctx.backend) ? ctx.device->ops->scale_images(ctx, count, bytes, x)
                                : ref::scale_images(ctx, count, bytes, x);
}

}  // namespace lockstep
