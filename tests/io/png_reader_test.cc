// SPDX-License-Identifier: Apache-2.0
#include "io/png_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <numeric>

#include "io/png_writer.h"
#include "tests/io/io_fixtures.h"
#include "tests/support/damage.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string big_endian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xff);
  return bytes;
}

std::string chunk(const std::string& type, const std::string& data) {
  const std::string covered = type + data;
  const auto crc = crc32(0, reinterpret_cast<const unsigned char*>(covered.data()), static_cast<uInt>(covered.size()));
  return big_endian(static_cast<uint32_t>(data.size())) + covered + big_endian(static_cast<uint32_t>(crc));
}

const std::string kSignature("\x89PNG\r\n\x1a\n", 8);

std::string header(uint32_t width, uint32_t height, char bit_depth, char colour, bool interlaced = false) {
  return chunk("IHDR", big_endian(width) + big_endian(height) + bit_depth + colour + std::string(2, '\0') +
                           static_cast<char>(interlaced));
}

// A PNG of these scan lines, each with its filter byte in front.
std::string png(const std::string& ihdr, const std::string& lines, const std::string& between = "") {
  return kSignature + ihdr + between + chunk("IDAT", compressed(lines, Compression::kZlib)) + chunk("IEND", "");
}

std::vector<uint8_t> rgba_of(const std::string& bytes) {
  const auto image = decode_png(bytes, "x.png");
  EXPECT_TRUE(image.ok()) << image.status();
  return image.ok() ? image->rgba : std::vector<uint8_t>();
}

constexpr char kGrey = 0, kRgb = 2, kPalette = 3, kGreyAlpha = 4, kRgbAlpha = 6;

TEST(PngReader, EveryColourTypeAndDepthBecomesRgba) {
  using S = std::string;
  EXPECT_THAT(rgba_of(png(header(2, 1, 1, kGrey), S("\0\x40", 2))), ElementsAre(0, 0, 0, 255, 255, 255, 255, 255));
  EXPECT_THAT(rgba_of(png(header(2, 1, 2, kGrey), S("\0\x60", 2))), ElementsAre(85, 85, 85, 255, 170, 170, 170, 255));
  EXPECT_THAT(rgba_of(png(header(2, 1, 4, kGrey), S("\0\x1e", 2))), ElementsAre(17, 17, 17, 255, 238, 238, 238, 255));
  EXPECT_THAT(rgba_of(png(header(1, 2, 8, kGrey), S("\0\x07\0\x09", 4))), ElementsAre(7, 7, 7, 255, 9, 9, 9, 255));
  EXPECT_THAT(rgba_of(png(header(1, 1, 8, kRgb), S("\0\1\2\3", 4))), ElementsAre(1, 2, 3, 255));
  EXPECT_THAT(rgba_of(png(header(1, 1, 8, kGreyAlpha), S("\0\x50\x60", 3))), ElementsAre(80, 80, 80, 96));
  EXPECT_THAT(rgba_of(png(header(1, 1, 8, kRgbAlpha), S("\0\1\2\3\4", 5))), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(rgba_of(png(header(2, 1, 8, kPalette), S("\0\1\0", 3),
                          chunk("PLTE", "\x0a\x0b\x0c\x14\x15\x16") + chunk("tRNS", S("\xff\0", 2)))),
              ElementsAre(20, 21, 22, 0, 10, 11, 12, 255));
}

TEST(PngReader, SixteenBitSamplesAreRoundedNotRelit) {
  const auto grey = rgba_of(png(header(2, 1, 16, kGrey), std::string("\0\x40\x40\xff\xff", 5)));
  EXPECT_THAT(grey, ElementsAre(64, 64, 64, 255, 255, 255, 255, 255));
  const auto colour = rgba_of(png(header(1, 1, 16, kRgb), std::string("\0\x10\x10\x80\x80\xf0\xf0", 7)));
  EXPECT_THAT(colour, ElementsAre(16, 128, 240, 255));
}

TEST(PngReader, InterlacedPixelsFindTheirPlaces) {
  // Adam7 of 2 x 2: pass 1 has (0, 0), pass 6 (1, 0), pass 7 the second row.
  const std::string bytes = png(header(2, 2, 8, kGrey, true), std::string("\0\x0a\0\x14\0\x1e\x28", 7));
  EXPECT_THAT(rgba_of(bytes), ElementsAre(10, 10, 10, 255, 20, 20, 20, 255, 30, 30, 30, 255, 40, 40, 40, 255));
  EXPECT_TRUE(check_png(bytes, "x.png")->interlaced);
}

TEST(PngReader, TellsSizeColourAndChunks) {
  const auto info = check_png(png(header(3, 2, 16, kRgbAlpha), "", chunk("tEXt", "who cares")), "x.png");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->width, 3);
  EXPECT_EQ(info->height, 2);
  EXPECT_EQ(info->bit_depth, 16);
  EXPECT_EQ(info->colour, "RGB with alpha");
  EXPECT_EQ(info->chunks, 4);
}

TEST(PngReader, ReadsWhatTheWriterWrites) {
  std::vector<uint8_t> pixels(9 * 5 * 3);
  std::iota(pixels.begin(), pixels.end(), uint8_t{100});
  const auto image = decode_png(encode_png(pixels, 9, 5, 3).value(), "x.png");
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_FALSE(image->transparent);
  for (size_t i = 0; i < 45; ++i) {
    for (size_t c = 0; c < 3; ++c) ASSERT_EQ(image->rgba[4 * i + c], pixels[3 * i + c]) << i;
  }
}

TEST(PngReader, EveryCutAndEveryFlippedBitIsAnError) {
  std::vector<uint8_t> pixels(8 * 8);
  std::iota(pixels.begin(), pixels.end(), uint8_t{1});
  const std::string good = encode_png(pixels, 8, 8, 1).value();
  for_each_cut(good, [](const std::string& bytes, size_t length) {
    const absl::Status status = decode_png(bytes, "cut.png").status();
    EXPECT_FALSE(status.ok()) << "cut to " << length;
    EXPECT_THAT(message_of(status), HasSubstr("cut.png"));
  });
  for_each_bit_flip(good, [](const std::string& bytes, size_t bit) {
    EXPECT_FALSE(decode_png(bytes, "flip.png").ok()) << "bit " << bit;
  });
  EXPECT_THAT(message_of(decode_png(good + "x", "long.png").status()), HasSubstr("1 bytes behind IEND"));
}

TEST(PngReader, DamageNamesItsOffset) {
  std::string bytes = png(header(1, 1, 8, kGrey), std::string("\0\1", 2));
  bytes[45] = static_cast<char>(bytes[45] ^ 1);  // inside IDAT, which starts at 8 + 25
  EXPECT_THAT(message_of(decode_png(bytes, "a.png").status()),
              AllOf(HasSubstr("a.png: offset 33: CRC"), HasSubstr("damaged")));
}

TEST(PngReader, WhatTheChecksumsDoNotShowIsAnErrorToo) {
  const std::string one_line("\0\1", 2);
  const std::string end = chunk("IEND", "");
  const std::string ihdr = header(1, 1, 8, kGrey);
  const std::vector<std::string> cases = {png(header(1, 2, 8, kGrey), one_line),       // a line is missing
                                          png(header(1, 1, 3, kGrey), one_line),       // no such depth
                                          png(header(1, 1, 8, 5), one_line),           // no such colour type
                                          png(header(1, 1, 8, kPalette), one_line),    // no palette
                                          png(chunk("IHDR", "short"), one_line),       //
                                          png(ihdr + ihdr, one_line),                  //
                                          kSignature + chunk("IDAT", one_line) + end,  // no header
                                          kSignature + ihdr + end,                     // no pixels
                                          kSignature + ihdr + chunk("IDAT", "no zlib stream") + end};
  for (size_t i = 0; i < cases.size(); ++i) EXPECT_FALSE(decode_png(cases[i], "x.png").ok()) << "case " << i;
}

TEST(PngReader, HugeImagesAreRefusedBeforeAnythingIsAllocated) {
  for (const auto& [width, height] : std::vector<std::pair<uint32_t, uint32_t>>{
           {0, 1}, {1, 0}, {1 << 15, 1}, {1, 0x7fffffff}, {0xffffffff, 0xffffffff}, {1 << 14, 1 << 14}}) {
    const absl::Status status = decode_png(png(header(width, height, 8, kGrey), ""), "x.png").status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(message_of(status), HasSubstr("expected 1 to 16384 a side"));
  }
}

TEST(PngReader, OtherKindsOfImageAreNamed) {
  EXPECT_THAT(message_of(decode_png("\xff\xd8\xff\xe0 JFIF", "p.jpg").status()),
              AllOf(HasSubstr("p.jpg is a JPEG"), HasSubstr("only PNG is read")));
  EXPECT_THAT(message_of(decode_png("GIF89a", "p").status()), HasSubstr("a GIF"));
  EXPECT_THAT(message_of(decode_png("plain text", "p").status()), HasSubstr("no PNG"));
  EXPECT_THAT(message_of(decode_png("", "p").status()), HasSubstr("empty"));
}

}  // namespace
}  // namespace lockstep
