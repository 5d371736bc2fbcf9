// SPDX-License-Identifier: Apache-2.0
#include "io/png_writer.h"

#include <gtest/gtest.h>
#include <png.h>

#include <numeric>
#include <tuple>
#include <vector>

namespace lockstep {
namespace {

std::vector<uint8_t> decode(const std::string& png, uint32_t format, uint32_t* height, uint32_t* width) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_memory(&image, png.data(), png.size()), 0) << image.message;
  EXPECT_EQ(image.format, format);
  *height = image.height;
  *width = image.width;
  std::vector<uint8_t> pixels(PNG_IMAGE_SIZE(image));
  EXPECT_NE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr), 0) << image.message;
  return pixels;
}

TEST(PngWriter, DecodesToTheSamePixels) {
  for (const int channels : {1, 3}) {
    std::vector<uint8_t> pixels(static_cast<size_t>(7 * 5 * channels));
    std::iota(pixels.begin(), pixels.end(), static_cast<uint8_t>(100));
    const auto png = encode_png(pixels, 7, 5, channels);
    ASSERT_TRUE(png.ok()) << png.status();
    uint32_t height = 0, width = 0;
    EXPECT_EQ(decode(*png, channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB, &height, &width), pixels);
    EXPECT_EQ(height, 7u);
    EXPECT_EQ(width, 5u);
  }
}

TEST(PngWriter, IncompressiblePixelsFit) {
  std::vector<uint8_t> pixels(64 * 64);
  uint32_t state = 1;
  for (uint8_t& p : pixels) p = static_cast<uint8_t>((state = state * 1664525u + 1013904223u) >> 24);
  EXPECT_TRUE(encode_png(pixels, 64, 64, 1).ok());
}

TEST(PngWriter, SizesThatDoNotFitAreRefused) {
  const std::vector<uint8_t> pixels(12);
  const std::vector<std::tuple<int, int, int>> cases = {{3, 4, 3}, {3, 2, 2}, {0, 4, 3}, {-3, -4, 1}, {1 << 20, 1, 1}};
  for (const auto& [height, width, channels] : cases) {
    EXPECT_TRUE(absl::IsInvalidArgument(encode_png(pixels, height, width, channels).status()));
  }
}

}  // namespace
}  // namespace lockstep
