// SPDX-License-Identifier: Apache-2.0
// The implementations behind images.h: same contract, arguments already checked.
#pragma once

#include "kernels/images/images.h"

namespace lockstep::ref {
absl::Status scale_images(const KernelContext& ctx, int64_t count, const uint8_t* bytes, float* x);
}  // namespace lockstep::ref

namespace lockstep::cuda {
decltype(ref::scale_images) scale_images;
}  // namespace lockstep::cuda
