// SPDX-License-Identifier: Apache-2.0
// Image bytes to the numbers that a network sees: x = float(byte) * (1 / 255), as TensorFlow does. One float product,
// so every backend gives the same bits. Buffers must not overlap; no alignment needed; thread-safe.
// Errors: InvalidArgument for a negative count.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "kernels/backend.h"

namespace lockstep {

absl::Status scale_images(const KernelContext& ctx, int64_t count,
                          const uint8_t* bytes,  // (count)
                          float* x);             // (count)

}  // namespace lockstep
