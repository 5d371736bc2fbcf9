// SPDX-License-Identifier: Apache-2.0
#include "io/idx_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/io/io_fixtures.h"
#include "tests/support/damage.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class IdxReaderTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::string> read_back(std::string_view bytes, IdxKind kind = IdxKind::kImages) {
    write_bytes(path_, bytes);
    LOCKSTEP_ASSIGN_OR_RETURN(const auto reader, IdxReader::open(path_, kind));
    std::string items(static_cast<size_t>(reader->count() * reader->shape().size()), '\0');
    LOCKSTEP_RETURN_IF_ERROR(reader->read(reader->count(), reinterpret_cast<uint8_t*>(items.data())));
    LOCKSTEP_RETURN_IF_ERROR(reader->finish());
    return items;
  }
  std::string error_of(std::string_view bytes, IdxKind kind = IdxKind::kImages) {
    auto result = read_back(bytes, kind);
    return result.ok() ? "" : message_of(result.status());
  }
  absl::Status read_pair(std::string_view images, std::string_view labels, int label_limit = 10) {
    write_bytes(path_, images);
    write_bytes(dir_.file("labels"), labels);
    LOCKSTEP_ASSIGN_OR_RETURN(const auto pair, IdxPairReader::open(path_, dir_.file("labels"), label_limit));
    std::vector<uint8_t> image(static_cast<size_t>(pair->shape().size()));
    uint8_t label;
    for (int64_t i = 0; i < pair->count(); ++i) LOCKSTEP_RETURN_IF_ERROR(pair->read(1, image.data(), &label));
    return pair->finish();
  }

  TmpDir dir_;
  const std::string path_ = dir_.file("images");
  const std::string payload_ = noise(5 * 4 * 3, 1);
  const std::string images_ = idx_bytes({5, 4, 3}, payload_);
  const std::string labels_ = idx_bytes({5}, std::string("\0\1\2\3\x09", 5));
};

TEST_F(IdxReaderTest, ReadsImagesPlainAndCompressed) {
  EXPECT_EQ(read_back(images_).value(), payload_);
  EXPECT_EQ(read_back(compressed(images_, Compression::kGzip)).value(), payload_);
}

TEST_F(IdxReaderTest, ShapeComesFromTheHeader) {
  write_bytes(path_, images_);
  EXPECT_EQ(IdxReader::open(path_, IdxKind::kImages).value()->shape(), (ImageShape{4, 3, 1}));
  write_bytes(path_, idx_bytes({2, 2, 2, 3}, noise(24, 1)));
  EXPECT_EQ(IdxReader::open(path_, IdxKind::kImages).value()->shape(), (ImageShape{2, 2, 3}));
}

TEST_F(IdxReaderTest, EmptyFileIsAnError) { EXPECT_THAT(error_of(""), HasSubstr("magic number needs 4 bytes")); }

TEST_F(IdxReaderTest, CutAtEveryByteIsAnError) {
  for_each_cut(images_, [&](const std::string& cut, size_t length) { EXPECT_NE(error_of(cut), "") << length; });
  for_each_cut(images_, [&](const std::string& cut, size_t length) {
    EXPECT_NE(error_of(compressed(cut, Compression::kGzip)), "") << length;
  });
}

TEST_F(IdxReaderTest, FlippedHeaderBitIsAnError) {
  for_each_bit_flip(images_, [&](const std::string& damaged, size_t bit) {
    if (bit < 16 * 8) {
      EXPECT_NE(error_of(damaged), "") << bit;
    }
  });
}

TEST_F(IdxReaderTest, BytesAfterTheLastItemAreAnError) {
  EXPECT_THAT(error_of(images_ + "x"), HasSubstr("promises 5 items of 4x3x1"));
  EXPECT_THAT(error_of(compressed(images_ + "x", Compression::kGzip)),
              HasSubstr("goes on after the 5 items that the header promises (at offset 76)"));
}

TEST_F(IdxReaderTest, HugeHeaderIsRefusedBeforeAnythingIsAllocated) {
  constexpr uint32_t kHuge = 0xffffffff;
  for (const auto& dimensions : std::vector<std::vector<uint32_t>>{{kHuge, 28, 28},
                                                                   {5, kHuge, 3},
                                                                   {5, 4, kHuge},
                                                                   {kHuge, 65536, 65536},
                                                                   {kHuge, kHuge, kHuge},
                                                                   {1, 65536, 65536}}) {
    const std::string bytes = idx_bytes(dimensions, payload_);
    EXPECT_NE(error_of(bytes), "");
    EXPECT_NE(error_of(compressed(bytes, Compression::kGzip)), "");
  }
}

TEST_F(IdxReaderTest, NoItemsIsAnError) {
  EXPECT_THAT(error_of(idx_bytes({0, 28, 28}, "")), HasSubstr("promises no items"));
  EXPECT_THAT(error_of(idx_bytes({3, 0, 28}, "")), HasSubstr("expected sides from 1"));
}

TEST_F(IdxReaderTest, WrongMagicSaysWhatWasFoundAndExpected) {
  EXPECT_THAT(error_of(labels_, IdxKind::kImages), AllOf(HasSubstr("0x00000801"), HasSubstr("2051")));
  EXPECT_THAT(error_of(images_, IdxKind::kLabels), AllOf(HasSubstr("0x00000803"), HasSubstr("2049")));
  std::string floats = images_;
  floats[2] = 0x0d;
  EXPECT_THAT(error_of(floats), HasSubstr("0x00000d03"));
}

TEST_F(IdxReaderTest, PairIsReadTogether) { EXPECT_EQ(read_pair(images_, labels_), absl::OkStatus()); }

TEST_F(IdxReaderTest, PairCountsMustMatch) {
  EXPECT_THAT(message_of(read_pair(images_, idx_bytes({4}, "\1\1\1\1"))),
              AllOf(HasSubstr("5 images"), HasSubstr("4 labels")));
}

TEST_F(IdxReaderTest, LabelOutOfRangeNamesTheItem) {
  const std::string bad = idx_bytes({5}, std::string("\0\1\2\x0a\x09", 5));
  EXPECT_THAT(message_of(read_pair(images_, bad)),
              AllOf(HasSubstr("label 10 of item 3"), HasSubstr("expected 0 to 9")));
  EXPECT_EQ(read_pair(images_, bad, 0), absl::OkStatus());
}

TEST_F(IdxReaderTest, FilesAreFoundWithAndWithoutSuffix) {
  EXPECT_EQ(find_idx_file(dir_.path(), "images").status().code(), absl::StatusCode::kNotFound);
  write_bytes(dir_.file("images.gz"), "");
  EXPECT_EQ(find_idx_file(dir_.path(), "images").value(), dir_.file("images.gz"));
  write_bytes(dir_.file("images"), "");
  EXPECT_EQ(find_idx_file(dir_.path(), "images").value(), dir_.file("images"));
}

}  // namespace
}  // namespace lockstep
