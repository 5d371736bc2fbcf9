// SPDX-License-Identifier: Apache-2.0
#include "io/png_writer.h"

#include <fmt/format.h>
#include <png.h>

namespace lockstep {
namespace {

constexpr int kMaxSide = 1 << 14;

}  // namespace

absl::StatusOr<std::string> encode_png(std::span<const uint8_t> pixels, int height, int width, int channels) {
  const bool plausible = height > 0 && height <= kMaxSide && width > 0 && width <= kMaxSide;
  if (!plausible || (channels != 1 && channels != 3) ||
      pixels.size() != static_cast<size_t>(height) * static_cast<size_t>(width) * static_cast<size_t>(channels)) {
    return absl::InvalidArgumentError(
        fmt::format("PNG: ({}, {}, {}) does not fit {} bytes, or is not 1 to {} pixels a "
                    "side with 1 or 3 channels",
                    height, width, channels, pixels.size(), kMaxSide));
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.height = static_cast<png_uint_32>(height);
  image.width = static_cast<png_uint_32>(width);
  image.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string png(size, '\0');
  if (png_image_write_to_memory(&image, png.data(), &size, 0, pixels.data(), 0, nullptr) == 0) {
    return absl::InternalError(fmt::format("PNG: {}", image.message));
  }
  png.resize(size);
  return png;
}

}  // namespace lockstep
