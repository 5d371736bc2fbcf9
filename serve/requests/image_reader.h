// SPDX-License-Identifier: Apache-2.0
// Images in requests: bytes to the numbers that a network takes, and the words of errors about their shapes. Errors
// tell of the image alone: their caller knows where it was.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "serve/requests/parsed_predict.h"

namespace lockstep {

// For the images of one request: counts the pixels of its PNGs. Not thread-safe. `out` is H * W * C numbers, undefined
// after an error.
class ImageReader {
 public:
  explicit ImageReader(const RequestRules& rules) : rules_(rules), png_pixels_left_(rules.most_png_pixels) {}

  // Bytes, as many as `out` has room for, which are scaled to [0, 1].
  absl::Status read_pixels(std::string_view bytes, std::span<float> out) const;
  // A PNG, prepared as prepare_image() does.
  absl::Status read_png(std::string_view bytes, std::span<float> out);
  // Either.
  absl::Status read(std::string_view bytes, std::span<float> out);

 private:
  const RequestRules& rules_;
  int64_t png_pixels_left_;
};

// "Input mismatch: …".
absl::Status input_mismatch(std::string_view detail);
// "[784], [28,28] or [28,28,1]".
std::string accepted_shapes(const ImageShape& input);
// `Input mismatch: got shape [783], expected [784], …`.
absl::Status shape_mismatch(const ImageShape& input, std::string_view got);

}  // namespace lockstep
