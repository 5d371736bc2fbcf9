// SPDX-License-Identifier: Apache-2.0
#include "io/tfrecord.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/crc32c.h"
#include "tests/io/io_fixtures.h"
#include "tests/support/damage.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

using Records = std::vector<std::string>;

absl::StatusOr<Records> read_all(const std::string& path, const TfRecordReaderOptions& options = {}) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto reader, TfRecordReader::open(path, options));
  Records records;
  while (true) {
    std::string_view payload;
    LOCKSTEP_ASSIGN_OR_RETURN(const bool found, reader->next(&payload));
    if (!found) return records;
    records.emplace_back(payload);
  }
}

std::string framed(const Records& records) {
  std::string out;
  for (const std::string& record : records) append_record(record, out);
  return out;
}

std::string length_field(uint64_t length) {
  std::string field(reinterpret_cast<const char*>(&length), sizeof(length));
  const uint32_t crc = masked_crc32c(field);
  return field.append(reinterpret_cast<const char*>(&crc), sizeof(crc));
}

class TfRecordTest : public ::testing::Test {
 protected:
  absl::StatusOr<Records> read_back(std::string_view bytes, const TfRecordReaderOptions& options = {}) {
    write_bytes(path_, bytes);
    return read_all(path_, options);
  }
  std::string error_of(std::string_view bytes) {
    auto result = read_back(bytes);
    return result.ok() ? "" : message_of(result.status());
  }

  TmpDir dir_;
  const std::string path_ = dir_.file("data.tfrecords");
  const Records records_{"first", "", noise(40, 1)};
};

TEST_F(TfRecordTest, FrameIsLengthCrcPayloadCrc) {
  const std::string frame = framed({std::string(875, 'a')});
  EXPECT_EQ(frame.size(), 891u);
  EXPECT_EQ(frame.substr(0, 12), std::string("\x6b\x03\0\0\0\0\0\0\x7d\x5f\x18\x78", 12));
}

TEST_F(TfRecordTest, WriterAndReaderAgreeInEveryCompression) {
  for (const Compression compression : {Compression::kNone, Compression::kGzip, Compression::kZlib}) {
    auto writer = TfRecordWriter::create(path_, compression).value();
    for (const std::string& record : records_) ASSERT_TRUE(writer.append(record).ok());
    ASSERT_TRUE(writer.append_framed(framed({"framed"})).ok());
    ASSERT_TRUE(writer.commit().ok());
    Records expected = records_;
    expected.push_back("framed");
    EXPECT_EQ(detect_record_compression(path_).value(), compression);
    EXPECT_THAT(read_all(path_).value(), ElementsAreArray(expected));
  }
}

TEST_F(TfRecordTest, ManyAndLargeRecordsSurviveCompression) {
  Records many;
  for (size_t i = 0; i < 300; ++i) many.push_back(noise(i * 37 % 20000, i));
  many.push_back(noise(3 << 20, 7));  // larger than the buffer of the reader
  for (const Compression compression : {Compression::kNone, Compression::kGzip, Compression::kZlib}) {
    auto writer = TfRecordWriter::create(path_, compression).value();
    for (const std::string& record : many) ASSERT_TRUE(writer.append(record).ok());
    ASSERT_TRUE(writer.commit().ok());
    EXPECT_EQ(read_all(path_).value(), many);
  }
}

TEST_F(TfRecordTest, NothingAppearsWithoutCommit) {
  {
    auto writer = TfRecordWriter::create(path_).value();
    ASSERT_TRUE(writer.append("lost").ok());
  }
  EXPECT_FALSE(file_exists(path_));
  EXPECT_TRUE(list_directory(dir_.path()).value().empty());
}

TEST_F(TfRecordTest, EmptyFileHoldsNoRecord) { EXPECT_TRUE(read_back("").value().empty()); }

TEST_F(TfRecordTest, EmptyFileNamedCompressedIsAnError) {
  write_bytes(dir_.file("data.tfrecords.gz"), "");
  EXPECT_FALSE(read_all(dir_.file("data.tfrecords.gz")).ok());
}

// A cut between two records leaves a shorter file that is good by itself; no byte of the format tells it.
TEST_F(TfRecordTest, CutInsideARecordIsAnErrorAtEveryByte) {
  const std::string good = framed(records_);
  const size_t second = framed({records_[0]}).size();
  const size_t third = framed({records_[0], records_[1]}).size();
  for_each_cut(good, [&](const std::string& cut, size_t length) {
    const bool between = length == 0 || length == second || length == third;
    EXPECT_EQ(error_of(cut).empty(), between) << length;
  });
}

TEST_F(TfRecordTest, CutCompressedFileIsAnErrorAtEveryByte) {
  for (const Compression compression : {Compression::kGzip, Compression::kZlib}) {
    for_each_cut(compressed(framed(records_), compression), [&](const std::string& cut, size_t length) {
      if (length > 0) {
        EXPECT_NE(error_of(cut), "") << length;
      }
    });
  }
}

TEST_F(TfRecordTest, EveryFlippedBitIsAnError) {
  for_each_bit_flip(framed(records_),
                    [&](const std::string& damaged, size_t bit) { EXPECT_NE(error_of(damaged), "") << "bit " << bit; });
}

TEST_F(TfRecordTest, ErrorNamesFileRecordAndOffset) {
  std::string damaged = framed(records_);
  damaged[framed({records_[0], records_[1]}).size() + 20] ^= 4;
  EXPECT_THAT(error_of(damaged),
              AllOf(HasSubstr(path_), HasSubstr("record 2 at offset 37"), HasSubstr("CRC of the data")));
}

TEST_F(TfRecordTest, HugeLengthIsRefused) {
  const std::string huge = length_field(uint64_t{1} << 62) + "payload";
  EXPECT_THAT(error_of(huge), HasSubstr("exceeds the limit"));
  const std::string long_one = length_field(uint64_t{1} << 29) + "payload";
  EXPECT_THAT(error_of(long_one), HasSubstr("past the end of the file"));
  EXPECT_THAT(error_of(compressed(long_one, Compression::kGzip)), HasSubstr("the file ends after 19 of"));
  EXPECT_FALSE(read_back(framed({"123456"}), {.max_record_bytes = 5}).ok());
}

TEST_F(TfRecordTest, TrailingBytesAreAnError) {
  EXPECT_NE(error_of(framed(records_) + '\0'), "");
  EXPECT_NE(error_of(framed(records_) + std::string(16, '\0')), "");
  EXPECT_NE(error_of(compressed(framed(records_), Compression::kGzip) + '\0'), "");
}

TEST_F(TfRecordTest, OtherFormatsAreRefused) {
  EXPECT_THAT(error_of("\x89PNG\r\n\x1a\nsome picture"), HasSubstr("CRC of the length"));
}

// 376 = 0x0178: the first two bytes of the file are a valid zlib header.
TEST_F(TfRecordTest, PlainFileThatLooksLikeZlibIsPlain) {
  const Records one{noise(376, 3)};
  ASSERT_EQ(detect_compression(framed(one)), Compression::kZlib);
  EXPECT_EQ(read_back(framed(one)).value(), one);
}

TEST_F(TfRecordTest, RecordIsReadByItsOffset) {
  write_bytes(path_, framed(records_));
  const auto file = RandomAccessFile::open(path_).value();
  std::string scratch;
  EXPECT_EQ(read_record_at(*file, 37, 40, scratch).value(), records_[2]);
  EXPECT_EQ(read_record_at(*file, 0, 5, scratch).value(), records_[0]);
}

TEST_F(TfRecordTest, ReadByOffsetChecksEveryBit) {
  for_each_bit_flip(framed({records_[2]}), [&](const std::string& damaged, size_t bit) {
    write_bytes(path_, damaged);
    const auto file = RandomAccessFile::open(path_).value();
    std::string scratch;
    EXPECT_FALSE(read_record_at(*file, 0, 40, scratch).ok()) << "bit " << bit;
  });
}

TEST_F(TfRecordTest, ReadByOffsetNoticesAShorterFile) {
  for_each_cut(framed({records_[2]}), [&](const std::string& cut, size_t length) {
    write_bytes(path_, cut);
    const auto file = RandomAccessFile::open(path_).value();
    std::string scratch;
    EXPECT_FALSE(read_record_at(*file, 0, 40, scratch).ok()) << length;
  });
}

}  // namespace
}  // namespace lockstep
