// SPDX-License-Identifier: Apache-2.0
#include "io/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <numeric>

#include "io/crc32c.h"
#include "io/example.h"
#include "io/tfrecord.h"
#include "tests/io/io_fixtures.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr ImageShape kShape{4, 3, 1};

struct Example {
  std::string image;
  int64_t label;
};

Example make_example(int64_t i, const ImageShape& shape = kShape) {
  return {noise(static_cast<size_t>(shape.size()), static_cast<uint64_t>(i)), i % 7};
}

std::string records(int64_t first, int64_t count, const ImageShape& shape = kShape) {
  std::string out;
  for (int64_t i = first; i < first + count; ++i) {
    const Example example = make_example(i, shape);
    std::string payload;
    append_example(shape, example.label, example.image, payload);
    append_record(payload, out);
  }
  return out;
}

struct Contents {
  std::vector<uint8_t> images;
  std::vector<int32_t> labels;
  bool operator==(const Contents&) const = default;
};

Contents read_in_order(const Dataset& dataset, std::vector<int64_t> indices) {
  Contents out;
  out.images.resize(indices.size() * static_cast<size_t>(dataset.shape().size()));
  out.labels.resize(indices.size());
  EXPECT_EQ(dataset.read(indices, out.images.data(), out.labels.data()), absl::OkStatus());
  return out;
}

std::vector<int64_t> all_indices(const Dataset& dataset) {
  std::vector<int64_t> indices(static_cast<size_t>(dataset.size()));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

class DatasetTest : public ::testing::Test {
 protected:
  std::unique_ptr<Dataset> open(int64_t memory_limit_bytes = 1 << 20, Split split = Split::kTrain) {
    auto dataset = open_dataset(dir_.path(), split, {.memory_limit_bytes = memory_limit_bytes});
    EXPECT_EQ(dataset.status(), absl::OkStatus());
    return dataset.ok() ? *std::move(dataset) : nullptr;
  }
  std::string error_of(Split split = Split::kTrain, const DatasetOptions& options = {}) {
    const auto dataset = open_dataset(dir_.path(), split, options);
    return dataset.ok() ? "" : message_of(dataset.status());
  }
  void expect_examples(const Dataset& dataset, int64_t count) {
    ASSERT_EQ(dataset.size(), count);
    EXPECT_EQ(dataset.shape(), kShape);
    const Contents contents = read_in_order(dataset, all_indices(dataset));
    for (int64_t i = 0; i < count; ++i) {
      const Example expected = make_example(i);
      EXPECT_EQ(contents.labels[static_cast<size_t>(i)], expected.label);
      EXPECT_EQ(
          std::string(contents.images.begin() + i * kShape.size(), contents.images.begin() + (i + 1) * kShape.size()),
          expected.image);
    }
  }

  TmpDir dir_;
};

TEST_F(DatasetTest, SmallSetIsResidentAndLargeOneStreamed) {
  write_bytes(dir_.file("train.tfrecords"), records(0, 20));
  const int64_t decoded = 20 * (kShape.size() + 4);
  EXPECT_THAT(open(decoded)->describe(), StartsWith("resident: 20 examples of 4x3x1"));
  EXPECT_THAT(open(decoded - 1)->describe(), StartsWith("streamed: 20 examples"));
  expect_examples(*open(decoded), 20);
  expect_examples(*open(decoded - 1), 20);
}

TEST_F(DatasetTest, ShardsAreReadInNameOrder) {
  write_bytes(dir_.file("train.tfrecords-00001-of-00003"), records(5, 0));
  write_bytes(dir_.file("train.tfrecords-00002-of-00003"), records(5, 6));
  write_bytes(dir_.file("train.tfrecords-00000-of-00003"), records(0, 5));
  write_bytes(dir_.file("test.tfrecords"), records(0, 2));
  for (const int64_t limit : {0, 1 << 20}) expect_examples(*open(limit), 11);
  EXPECT_EQ(open(0, Split::kTest)->size(), 2);
}

TEST_F(DatasetTest, CompressedShardsEqualPlainOnesResidentAndStreamed) {
  write_bytes(dir_.file("train-a.tfrecords.gz"), compressed(records(0, 5), Compression::kGzip));
  write_bytes(dir_.file("train-b.tfrecords.zlib"), compressed(records(5, 6), Compression::kZlib));
  write_bytes(dir_.file("train-c.tfrecords"), records(11, 4));
  for (const int64_t limit : {0, 7 * 16, 1 << 20}) expect_examples(*open(limit), 15);
  EXPECT_THAT(open(0)->describe(), StartsWith("streamed through a temporary file"));
}

TEST_F(DatasetTest, FingerprintIsThatOfTheExamplesInWhateverFiles) {
  std::string images, labels;
  for (int64_t i = 0; i < 15; ++i) {
    images += make_example(i).image;
    labels += {static_cast<char>(make_example(i).label), 0, 0, 0};
  }
  const DatasetFingerprint expected{crc32c(images), crc32c(labels)};
  const auto expect_expected = [&] {
    for (const int64_t limit : {0, 7 * 16, 1 << 20}) EXPECT_EQ(open(limit)->fingerprint(), expected) << limit;
  };
  write_bytes(dir_.file("train-a.tfrecords.gz"), compressed(records(0, 5), Compression::kGzip));
  write_bytes(dir_.file("train-b.tfrecords"), records(5, 10));
  expect_expected();
  std::filesystem::remove(dir_.file("train-a.tfrecords.gz"));
  write_bytes(dir_.file("train-b.tfrecords"), records(0, 15));
  expect_expected();
  std::filesystem::remove(dir_.file("train-b.tfrecords"));
  std::string bytes;
  for (size_t i = 0; i < labels.size(); i += 4) bytes += labels[i];
  write_bytes(dir_.file("train-images-idx3-ubyte"), idx_bytes({15, 4, 3}, images));
  write_bytes(dir_.file("train-labels-idx1-ubyte"), idx_bytes({15}, bytes));
  expect_expected();
}

TEST(MakeResidentDataset, FingerprintTellsPixelsLabelsAndOrderApart) {
  const auto print = [](std::vector<uint8_t> images, std::vector<int32_t> labels) {
    return make_resident_dataset({1, 2, 1}, std::move(images), std::move(labels), "a test")->fingerprint();
  };
  const DatasetFingerprint base = print({1, 2, 3, 4}, {0, 4});
  EXPECT_EQ(base, print({1, 2, 3, 4}, {0, 4}));
  EXPECT_NE(base.images_crc32c, print({1, 2, 3, 5}, {0, 4}).images_crc32c);
  EXPECT_NE(base.labels_crc32c, print({1, 2, 3, 4}, {0, 3}).labels_crc32c);
  EXPECT_NE(base.images_crc32c, print({3, 4, 1, 2}, {0, 4}).images_crc32c);
  EXPECT_NE(base.labels_crc32c, print({1, 2, 3, 4}, {4, 0}).labels_crc32c);
}

TEST_F(DatasetTest, RandomOrderAndRepeatsAreServed) {
  write_bytes(dir_.file("train.tfrecords"), records(0, 9));
  const std::vector<int64_t> order{8, 0, 3, 3, 7};
  const Contents resident = read_in_order(*open(), order);
  EXPECT_EQ(read_in_order(*open(0), order), resident);
  EXPECT_EQ(resident.labels, (std::vector<int32_t>{1, 0, 3, 3, 0}));
}

TEST_F(DatasetTest, TemporaryFileLeavesNothingBehind) {
  TmpDir scratch;
  ASSERT_EQ(::setenv("TMPDIR", scratch.path().c_str(), 1), 0);
  write_bytes(dir_.file("train.tfrecords.gz"), compressed(records(0, 9), Compression::kGzip));
  const auto dataset = open(0);
  ::unsetenv("TMPDIR");
  EXPECT_TRUE(list_directory(scratch.path()).value().empty());
  expect_examples(*dataset, 9);
}

TEST_F(DatasetTest, MissingTemporaryDirectoryIsNamed) {
  ASSERT_EQ(::setenv("TMPDIR", dir_.file("absent").c_str(), 1), 0);
  write_bytes(dir_.file("train.tfrecords.gz"), compressed(records(0, 9), Compression::kGzip));
  const std::string error = error_of(Split::kTrain, {.memory_limit_bytes = 0});
  ::unsetenv("TMPDIR");
  EXPECT_THAT(error, AllOf(HasSubstr("absent"), HasSubstr("TMPDIR")));
}

TEST_F(DatasetTest, RawIdxDirectoryEqualsItsFiles) {
  for (const bool gzip : {false, true}) {
    TmpDir idx;
    write_idx_directory(idx.path(), 30, 10, gzip);
    const auto resident = open_dataset(idx.path(), Split::kTrain, {}).value();
    const auto streamed = open_dataset(idx.path(), Split::kTrain, {.memory_limit_bytes = 100}).value();
    EXPECT_EQ(resident->size(), 30);
    EXPECT_THAT(resident->describe(), HasSubstr("(all of it: only `lockstep records create` sets a validation part"));
    EXPECT_EQ(resident->shape(), kShape);
    const Contents contents = read_in_order(*resident, all_indices(*resident));
    EXPECT_EQ(std::string(contents.images.begin(), contents.images.end()), noise(30 * 12, 1));
    EXPECT_EQ(read_in_order(*streamed, all_indices(*streamed)), contents);
    EXPECT_EQ(open_dataset(idx.path(), Split::kTest, {}).value()->size(), 10);
    EXPECT_EQ(open_dataset(idx.path(), Split::kValidation, {}).status().code(), absl::StatusCode::kNotFound);
  }
}

TEST_F(DatasetTest, LabelCountIsHighestLabelPlusOne) {
  write_bytes(dir_.file("train.tfrecords"), records(0, 6));
  EXPECT_EQ(open()->label_count(), 6);
  EXPECT_EQ(open(0)->label_count(), 6);
}

TEST_F(DatasetTest, LabelOutOfRangeNamesTheRecord) {
  write_bytes(dir_.file("train.tfrecords"), records(0, 6));
  EXPECT_THAT(error_of(Split::kTrain, {.label_limit = 5}),
              AllOf(HasSubstr("train.tfrecords: record 5 at offset"), HasSubstr("label 5"), HasSubstr("0 to 4")));
  EXPECT_EQ(error_of(Split::kTrain, {.label_limit = 6}), "");
}

TEST_F(DatasetTest, OddShapeNamesTheRecord) {
  write_bytes(dir_.file("train.tfrecords"), records(0, 3) + records(3, 1, {3, 4, 1}));
  EXPECT_THAT(error_of(), AllOf(HasSubstr("record 3"), HasSubstr("3x4x1"), HasSubstr("4x3x1")));
}

TEST_F(DatasetTest, DamageIsFoundWhenOpened) {
  std::string damaged = records(0, 6);
  damaged[damaged.size() / 2] ^= 1;
  write_bytes(dir_.file("train.tfrecords"), damaged);
  EXPECT_THAT(error_of(), AllOf(HasSubstr("train.tfrecords"), HasSubstr("CRC")));
  EXPECT_NE(error_of(Split::kTrain, {.memory_limit_bytes = 0}), "");
}

TEST_F(DatasetTest, DamageAfterOpeningIsFoundWhenRead) {
  const std::string good = records(0, 6);
  write_bytes(dir_.file("train.tfrecords"), good);
  const auto dataset = open(0);
  std::string damaged = good;
  damaged[damaged.size() - 20] ^= 1;
  write_bytes(dir_.file("train.tfrecords"), damaged);
  std::vector<uint8_t> image(12);
  int32_t label;
  EXPECT_TRUE(dataset->read(std::vector<int64_t>{0}, image.data(), &label).ok());
  EXPECT_FALSE(dataset->read(std::vector<int64_t>{5}, image.data(), &label).ok());
}

TEST_F(DatasetTest, RecordThatIsNoExampleIsNamed) {
  std::string bytes = records(0, 2);
  append_record("not an example", bytes);
  write_bytes(dir_.file("train.tfrecords"), bytes);
  EXPECT_THAT(error_of(), AllOf(HasSubstr("record 2"), HasSubstr("Example")));
}

TEST_F(DatasetTest, NoExamplesIsAnError) {
  write_bytes(dir_.file("train.tfrecords"), "");
  EXPECT_THAT(error_of(), HasSubstr("no examples"));
}

TEST_F(DatasetTest, WrongDirectorySaysWhatWasExpectedAndFound) {
  write_bytes(dir_.file("notes.txt"), "");
  EXPECT_THAT(error_of(),
              AllOf(HasSubstr("train*.tfrecords*"), HasSubstr("train-images-idx3-ubyte[.gz]"), HasSubstr("notes.txt")));
  const auto absent = open_dataset(dir_.file("absent"), Split::kTrain, {});
  EXPECT_THAT(message_of(absent.status()), HasSubstr("expected a directory"));
  const auto file = open_dataset(dir_.file("notes.txt"), Split::kTrain, {});
  EXPECT_THAT(message_of(file.status()), HasSubstr("found a file"));
}

TEST_F(DatasetTest, HalfAnIdxPairIsNamed) {
  write_idx_directory(dir_.path(), 3, 3, false);
  ASSERT_TRUE(remove_file(dir_.file("train-labels-idx1-ubyte")).ok());
  EXPECT_THAT(error_of(), HasSubstr("train-labels-idx1-ubyte.gz"));
}

TEST_F(DatasetTest, MissingShardIsNamed) {
  write_bytes(dir_.file("train.tfrecords-00000-of-00003"), records(0, 5));
  write_bytes(dir_.file("train.tfrecords-00002-of-00003"), records(5, 5));
  EXPECT_THAT(error_of(), HasSubstr("shard 00001 of 3 is missing"));
}

TEST_F(DatasetTest, SameRecordsTwiceAreRefused) {
  write_bytes(dir_.file("train.tfrecords"), records(0, 5));
  write_bytes(dir_.file("train.tfrecords.gz"), compressed(records(0, 5), Compression::kGzip));
  EXPECT_THAT(error_of(), HasSubstr("same records twice"));
}

TEST_F(DatasetTest, TemporaryFileOfAWriterIsPassedOver) {
  write_bytes(dir_.file("train.tfrecords"), records(0, 5));
  write_bytes(dir_.file("train.tfrecords.tmp.123"), "half written");
  EXPECT_EQ(open()->size(), 5);
}

// Files that TensorFlow wrote (tests/data/tensorflow_records/make.py), with keys that we do not use.
TEST_F(DatasetTest, ReadsWhatTensorFlowWrote) {
  for (const char* name : {"plain", "gzip", "zlib"}) {
    const std::string file = std::string(LOCKSTEP_SOURCE_DIR) + "/tests/data/tensorflow_records/" + name + ".tfrecords";
    write_bytes(dir_.file("train.tfrecords"), read_bytes(file));
    for (const int64_t limit : {0, 1 << 20}) {
      const auto dataset = open(limit);
      ASSERT_EQ(dataset->size(), 5) << name;
      EXPECT_EQ(dataset->shape(), (ImageShape{2, 3, 1}));
      EXPECT_EQ(read_in_order(*dataset, {4, 1}), (Contents{{40, 41, 42, 43, 44, 45, 10, 11, 12, 13, 14, 15}, {4, 1}}));
    }
  }
}

TEST(MakeResidentDataset, ServesWhatItWasGiven) {
  const auto dataset = make_resident_dataset({1, 2, 1}, {1, 2, 3, 4}, {0, 4}, "a test");
  EXPECT_EQ(dataset->label_count(), 5);
  EXPECT_EQ(read_in_order(*dataset, {1, 0}), (Contents{{3, 4, 1, 2}, {4, 0}}));
}

}  // namespace
}  // namespace lockstep
