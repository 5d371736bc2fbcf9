// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/images/images_impl.h"

namespace lockstep::ref {

absl::Status scale_images(const KernelContext& ctx, int64_t count, const uint8_t* bytes, float* x) {
  constexpr int64_t kBlock = 1024;  // about one small image
  parallel_for(ctx.pool, (count + kBlock - 1) / kBlock, [&](int64_t block, int) {
    const int64_t end = std::min(count, (block + 1) * kBlock);
    for (int64_t i = block * kBlock; i < end; ++i) x[i] = static_cast<float>(bytes[i]) * (1.0f / 255);
  });
  return absl::OkStatus();
}

}  // namespace lockstep::ref
