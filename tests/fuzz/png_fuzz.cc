// SPDX-License-Identifier: Apache-2.0
// PNG pictures of digits. Chunk CRCs are put right first: no fuzzer guesses one.
#include <zlib.h>

#include "core/base/check.h"
#include "io/png_reader.h"
#include "tests/fuzz/fuzz_input.h"

namespace lockstep {
namespace {

uint32_t load_be32(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

std::string with_sound_crcs(std::string png) {
  constexpr size_t kSignature = 8, kLengthAndType = 8;
  for (size_t at = kSignature; at + kLengthAndType + 4 <= png.size();) {
    const size_t length = load_be32(png, at);
    if (length > png.size() - at - kLengthAndType - 4) break;
    const size_t crc_at = at + kLengthAndType + length;
    const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(png.data() + at + 4), static_cast<uInt>(length + 4));
    for (size_t i = 0; i < 4; ++i) png[crc_at + i] = static_cast<char>(crc >> (24 - 8 * i));
    at = crc_at + 4;
  }
  return png;
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string png = lockstep::with_sound_crcs({reinterpret_cast<const char*>(data), size});
  const auto info = lockstep::check_png(png, "fuzz.png");
  // A few bytes may be a picture of a quarter gigabyte, which is allowed but slow.
  if (!info.ok() || int64_t{info->height} * info->width > 1 << 16) return 0;
  const auto image = lockstep::decode_png(png, "fuzz.png");
  if (image.ok()) {
    LOCKSTEP_CHECK_EQ(image->rgba.size(), size_t{4} * static_cast<size_t>(image->info.height * image->info.width));
  }
  return 0;
}
