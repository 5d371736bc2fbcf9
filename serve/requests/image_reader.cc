// SPDX-License-Identifier: Apache-2.0
#include "serve/requests/image_reader.h"

#include <fmt/format.h>

#include "io/png_reader.h"
#include "kernels/images/images.h"
#include "serve/digit_image.h"
#include "serve/rest/abseil_text.h"

namespace lockstep {

absl::Status input_mismatch(std::string_view detail) {
  return absl::InvalidArgumentError(fmt::format("Input mismatch: {}", detail));
}

std::string accepted_shapes(const ImageShape& input) {
  const auto& [h, w, c] = input;
  return c == 1 ? fmt::format("[{}], [{},{}] or [{},{},1]", h * w, h, w, h, w)
                : fmt::format("[{}] or [{},{},{}]", input.size(), h, w, c);
}

absl::Status shape_mismatch(const ImageShape& input, std::string_view got) {
  return input_mismatch(fmt::format("got {}, expected shape {}", got, accepted_shapes(input)));
}

absl::Status ImageReader::read_pixels(std::string_view bytes, std::span<float> out) const {
  return scale_images(KernelContext{}, static_cast<int64_t>(out.size()), reinterpret_cast<const uint8_t*>(bytes.data()),
                      out.data());
}

absl::Status ImageReader::read_png(std::string_view bytes, std::span<float> out) {
  constexpr const char* kName = "picture";
  const auto info = check_png(bytes, kName);
  if (!info.ok()) {
    return input_mismatch(fmt::format("expected a PNG or {} bytes, one a number, got {} bytes: {}", out.size(),
                                      bytes.size(), status_text(info.status())));
  }
  png_pixels_left_ -= int64_t{info->height} * info->width;
  if (png_pixels_left_ < 0) {
    return input_mismatch(
        fmt::format("the PNGs of one request may have {} pixels in all; this one of {}x{} is beyond that",
                    rules_.most_png_pixels, info->height, info->width));
  }
  const auto image = decode_png(bytes, kName);
  if (!image.ok()) return input_mismatch(status_text(image.status()));
  const auto prepared = prepare_image(*image, rules_.input, kName);
  if (!prepared.ok()) return input_mismatch(status_text(prepared.status()));
  return scale_images(KernelContext{}, static_cast<int64_t>(out.size()), prepared->pixels.data(), out.data());
}

absl::Status ImageReader::read(std::string_view bytes, std::span<float> out) {
  if (bytes.size() == out.size() && !has_png_signature(bytes)) return read_pixels(bytes, out);
  return read_png(bytes, out);
}

}  // namespace lockstep
