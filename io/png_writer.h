// SPDX-License-Identifier: Apache-2.0
// PNG images in memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/base/status.h"

namespace lockstep {

// `pixels`: (height, width, channels) uint8, channels 1 (grey) or 3 (RGB). InvalidArgument when the size does not fit.
absl::StatusOr<std::string> encode_png(std::span<const uint8_t> pixels, int height, int width, int channels);

}  // namespace lockstep
