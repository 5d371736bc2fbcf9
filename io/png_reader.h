// SPDX-License-Identifier: Apache-2.0
// PNG images (ISO/IEC 15948) that come from anywhere: grey, RGB or palette, with or without alpha, 1 to 16 bits a
// sample, interlaced or not.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

// Larger images are refused before anything is allocated for them.
inline constexpr int kMaxPngSide = 1 << 14;
inline constexpr int64_t kMaxPngPixels = int64_t{1} << 26;

// What a PNG says of itself before its pixels.
struct PngInfo {
  int height = 0, width = 0;
  int bit_depth = 8;   // of a sample
  std::string colour;  // "grey", "RGB", "palette", "grey with alpha", "RGB with alpha"
  bool interlaced = false;
  int chunks = 0;  // all of them, each with a CRC that holds
};

struct PngImage {
  PngInfo info;
  bool transparent = false;   // some alpha is below 255
  std::vector<uint8_t> rgba;  // (height, width, 4), not premultiplied, sRGB
};

// Whether these bytes begin as every PNG does, and no other file.
bool has_png_signature(std::string_view bytes);

// Walks every chunk from IHDR to IEND and checks its CRC; the pixels are not decoded. DataLoss names the offset and
// what was expected there; InvalidArgument tells other kinds of image by name, and sizes over the limits. `name` is for
// messages. Bytes behind IEND are an error.
absl::StatusOr<PngInfo> check_png(std::string_view bytes, const std::string& name);

// check_png(), then the pixels. 16-bit samples are rounded to 8.
absl::StatusOr<PngImage> decode_png(std::string_view bytes, const std::string& name);

}  // namespace lockstep
