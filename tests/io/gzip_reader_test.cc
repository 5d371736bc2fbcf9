// SPDX-License-Identifier: Apache-2.0
#include "io/gzip_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/io/io_fixtures.h"
#include "tests/support/damage.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

// Reads in pieces of `piece` bytes until the end.
absl::StatusOr<std::string> read_all(const std::string& path, size_t piece = 7, const GzipReaderOptions& options = {}) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto reader, GzipReader::open(path, options));
  std::string all, buffer(piece, '\0');
  while (true) {
    LOCKSTEP_ASSIGN_OR_RETURN(const size_t got, reader->read(buffer.data(), piece));
    all.append(buffer, 0, got);
    if (got < piece) return all;
  }
}

class GzipReaderTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::string> read_back(std::string_view bytes, size_t piece = 7,
                                        const GzipReaderOptions& options = {}) {
    write_bytes(path_, bytes);
    return read_all(path_, piece, options);
  }
  std::string error_of(std::string_view bytes) {
    auto result = read_back(bytes);
    return result.ok() ? "" : message_of(result.status());
  }

  TmpDir dir_;
  const std::string path_ = dir_.file("stream");
  const std::string text_ = noise(50, 1) + std::string(100, 'x');
};

TEST_F(GzipReaderTest, ReadsEveryWrapping) {
  EXPECT_EQ(read_back(text_).value(), text_);
  EXPECT_EQ(read_back(compressed(text_, Compression::kGzip)).value(), text_);
  EXPECT_EQ(read_back(compressed(text_, Compression::kZlib)).value(), text_);
}

TEST_F(GzipReaderTest, ResultDoesNotDependOnPieceSize) {
  const std::string large = noise(1 << 20, 2);
  const std::string gzip = compressed(large, Compression::kGzip);
  for (const size_t piece : {size_t{4096}, size_t{1} << 20, (size_t{1} << 20) + 1}) {
    EXPECT_EQ(read_back(gzip, piece).value(), large) << piece;
  }
}

TEST_F(GzipReaderTest, EmptyFileIsAnEmptyPlainStream) { EXPECT_EQ(read_back("").value(), ""); }

TEST_F(GzipReaderTest, CompressedEmptyDataIsEmpty) {
  EXPECT_EQ(read_back(compressed("", Compression::kGzip)).value(), "");
  EXPECT_EQ(read_back(compressed("", Compression::kZlib)).value(), "");
}

TEST_F(GzipReaderTest, MembersInSequenceAreOneStream) {
  EXPECT_EQ(read_back(compressed("one ", Compression::kGzip) + compressed("two", Compression::kGzip)).value(),
            "one two");
}

TEST_F(GzipReaderTest, MissingFileIsNamed) {
  const auto result = read_all(dir_.file("absent"));
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(message_of(result.status()), HasSubstr("absent"));
}

// A cut inside the first two bytes leaves no magic, so the file counts as plain.
TEST_F(GzipReaderTest, CutAtEveryByteIsAnError) {
  for (const Compression compression : {Compression::kGzip, Compression::kZlib}) {
    for_each_cut(compressed(text_, compression), [&](const std::string& cut, size_t length) {
      if (length < 2) return;
      EXPECT_THAT(error_of(cut), HasSubstr("cut off at offset " + std::to_string(length))) << length;
    });
  }
}

// Covered by no checksum and without effect: flags and time stamp of a gzip header (10 bytes), and the bits that fill
// up the last byte of the deflate stream.
TEST_F(GzipReaderTest, FlippedBitNeverChangesTheDataUnnoticed) {
  for (const Compression compression : {Compression::kGzip, Compression::kZlib}) {
    const std::string good = compressed(text_, compression);
    size_t unnoticed = 0;
    for_each_bit_flip(good, [&](const std::string& damaged, size_t bit) {
      if (detect_compression(damaged) != compression) return;
      const auto result = read_back(damaged, 512);
      if (!result.ok()) return;
      ++unnoticed;
      EXPECT_EQ(*result, text_) << "bit " << bit;
    });
    EXPECT_LE(unnoticed, compression == Compression::kGzip ? 8u * 10 + 7 : 7u);
  }
}

TEST_F(GzipReaderTest, BytesAfterTheEndAreAnError) {
  for (const Compression compression : {Compression::kGzip, Compression::kZlib}) {
    const std::string good = compressed(text_, compression);
    EXPECT_THAT(error_of(good + '\0'), HasSubstr("1 bytes after the end"));
    EXPECT_THAT(error_of(good + '\0'), HasSubstr("offset " + std::to_string(good.size())));
    EXPECT_NE(error_of(good + "\x1f"), "");
  }
}

TEST_F(GzipReaderTest, WrongCrcAndLengthInTheTrailerAreErrors) {
  std::string crc = compressed(text_, Compression::kGzip);
  crc[crc.size() - 8] ^= 1;
  EXPECT_THAT(error_of(crc), HasSubstr("incorrect data check"));
  std::string length = compressed(text_, Compression::kGzip);
  length[length.size() - 4] ^= 1;
  EXPECT_THAT(error_of(length), HasSubstr("incorrect length check"));
}

TEST_F(GzipReaderTest, SizeBombIsStoppedAtTheLimit) {
  const std::string bomb = compressed(std::string(1 << 20, '\0'), Compression::kGzip);
  const auto result = read_back(bomb, 4096, {.max_output_bytes = 10000});
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(message_of(result.status()), HasSubstr("more than the limit of 10000 bytes"));
  EXPECT_TRUE(read_back(bomb, 4096, {.max_output_bytes = 1 << 20}).ok());
}

TEST_F(GzipReaderTest, ErrorIsFinal) {
  const std::string good = compressed(text_, Compression::kGzip);
  write_bytes(path_, std::string_view(good).substr(0, good.size() / 2));
  const auto reader = GzipReader::open(path_).value();
  std::string buffer(1000, '\0');
  const auto first = reader->read(buffer.data(), buffer.size());
  const auto second = reader->read(buffer.data(), buffer.size());
  ASSERT_FALSE(first.ok());
  EXPECT_EQ(first.status(), second.status());
}

TEST_F(GzipReaderTest, CompressionCanBeForced) {
  EXPECT_EQ(read_back("\x78\x9c plain", 7, {.detect = false}).value(), "\x78\x9c plain");
  EXPECT_FALSE(read_back("plain", 7, {.detect = false, .compression = Compression::kGzip}).ok());
}

}  // namespace
}  // namespace lockstep
