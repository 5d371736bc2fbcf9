// SPDX-License-Identifier: Apache-2.0
#include "io/records_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <numeric>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "io/batch_source.h"
#include "io/idx_reader.h"
#include "tests/io/http_fixture.h"
#include "tests/io/io_fixtures.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kMnist = std::string(LOCKSTEP_SOURCE_DIR) + "/data/mnist";
constexpr char kFashionMnist[] = "/usr/share/datasets/fashion-mnist";
const std::vector<std::string> kNames{"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
                                      "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"};

class CreateRecords : public ::testing::Test {
 protected:
  CreateRecords() {
    write_idx_directory(source_.path(), 30, 10, true);
    options_.source = source_.path();
    options_.directory = out_.path();
    options_.validation_size = 8;
    options_.on_line = [this](std::string_view line) { lines_.emplace_back(line); };
  }
  std::string error() {
    const auto result = create_records(options_);
    return result.ok() ? "" : message_of(result.status());
  }
  // Serves the files of source_, with `replacement` for those it lists.
  std::map<std::string, HttpReply> replies(const std::string& base, std::map<std::string, HttpReply> replacement = {}) {
    std::map<std::string, HttpReply> all;
    for (const std::string& name : kNames) {
      const auto it = replacement.find(name);
      all[base + "/" + name] = it != replacement.end() ? it->second : HttpReply{.body = read_bytes(source_.file(name))};
    }
    return all;
  }
  Mirrors mirrors(std::vector<std::string> bases) {
    Mirrors mirrors{std::move(bases), {}};
    for (const std::string& name : kNames) mirrors.files.push_back({name, sha256_hex(read_bytes(source_.file(name)))});
    return mirrors;
  }

  TmpDir source_, out_;
  RecordsOptions options_;
  std::vector<std::string> lines_;
};

struct Contents {
  std::string images;
  std::vector<int32_t> labels;
  bool operator==(const Contents&) const = default;
  void append(const Contents& other) {
    images += other.images;
    labels.insert(labels.end(), other.labels.begin(), other.labels.end());
  }
};

Contents contents_of(const std::string& directory, Split split) {
  const auto dataset = open_dataset(directory, split, {}).value();
  std::vector<int64_t> indices(static_cast<size_t>(dataset->size()));
  std::iota(indices.begin(), indices.end(), 0);
  Contents out;
  out.images.resize(indices.size() * static_cast<size_t>(dataset->shape().size()));
  out.labels.resize(indices.size());
  EXPECT_TRUE(dataset->read(indices, reinterpret_cast<uint8_t*>(out.images.data()), out.labels.data()).ok());
  return out;
}

// The records together hold what the IDX files hold, the validation images in front.
void expect_same_examples(const std::string& idx_directory, const std::string& records_directory) {
  Contents records = contents_of(records_directory, Split::kValidation);
  records.append(contents_of(records_directory, Split::kTrain));
  EXPECT_TRUE(records == contents_of(idx_directory, Split::kTrain));
  EXPECT_TRUE(contents_of(records_directory, Split::kTest) == contents_of(idx_directory, Split::kTest));
}

TEST_F(CreateRecords, RecordsHoldTheImagesOfTheIdxFiles) {
  const RecordsSummary summary = create_records(options_).value();
  EXPECT_EQ(summary.train, 22);
  EXPECT_EQ(summary.validation, 8);
  EXPECT_EQ(summary.test, 10);
  expect_same_examples(source_.path(), out_.path());
}

TEST_F(CreateRecords, PrintsTheLinesOfTheTutorial) {
  ASSERT_TRUE(create_records(options_).ok());
  EXPECT_THAT(
      lines_,
      ElementsAre("Extracting " + source_.file("train-images-idx3-ubyte.gz"),
                  "Extracting " + source_.file("train-labels-idx1-ubyte.gz"),
                  "Extracting " + source_.file("t10k-images-idx3-ubyte.gz"),
                  "Extracting " + source_.file("t10k-labels-idx1-ubyte.gz"), "Writing " + out_.file("train.tfrecords"),
                  "Writing " + out_.file("validation.tfrecords"), "Writing " + out_.file("test.tfrecords")));
}

TEST_F(CreateRecords, ProgressRisesToOne) {
  double last = 0;
  options_.on_progress = [&](double fraction) {
    EXPECT_GE(fraction, last);
    last = fraction;
  };
  ASSERT_TRUE(create_records(options_).ok());
  EXPECT_EQ(last, 1.0);
}

TEST_F(CreateRecords, DirectoryIsMadeAndFilesAreReplaced) {
  options_.directory = out_.file("new/deep");
  ASSERT_TRUE(create_records(options_).ok());
  options_.validation_size = 0;
  ASSERT_TRUE(create_records(options_).ok());
  EXPECT_EQ(open_dataset(options_.directory, Split::kTrain, {}).value()->size(), 30);
  EXPECT_EQ(read_bytes(options_.directory + "/validation.tfrecords"), "");
}

TEST_F(CreateRecords, ValidationMustLeaveTrainingImages) {
  options_.validation_size = 29;
  EXPECT_EQ(error(), "");
  options_.validation_size = 30;
  EXPECT_THAT(error(), AllOf(HasSubstr("validation size 30"), HasSubstr("0 to 29")));
}

TEST_F(CreateRecords, DamageLeavesEarlierFilesAndNothingElse) {
  ASSERT_TRUE(create_records(options_).ok());
  const std::string earlier = read_bytes(out_.file("train.tfrecords"));
  options_.validation_size = 3;
  for (const std::string& name : kNames) {
    const std::string good = read_bytes(source_.file(name));
    write_bytes(source_.file(name), good.substr(0, good.size() - 3));
    EXPECT_THAT(error(), HasSubstr(name));
    write_bytes(source_.file(name), good);
    EXPECT_EQ(read_bytes(out_.file("train.tfrecords")), earlier);
    EXPECT_THAT(list_directory(out_.path()).value(),
                ElementsAre("test.tfrecords", "train.tfrecords", "validation.tfrecords"));
  }
}

// The pairs are inflated side by side. What is reported is what was damaged, not what was ended because of it.
TEST_F(CreateRecords, DamageInOnePairEndsTheOther) {
  constexpr uint32_t kImages = 40'000, kSide = 12;  // 5.8 MB: several pieces of either pair
  const std::string images = idx_bytes({kImages, kSide, kSide}, std::string(kImages * kSide * kSide, '\0'));
  const std::string good = compressed(idx_bytes({kImages}, std::string(kImages, '\1')), Compression::kGzip);
  std::string labels(kImages, '\1');
  labels[100] = 77;
  const std::string bad = compressed(idx_bytes({kImages}, labels), Compression::kGzip);
  for (const size_t i : {0, 2}) write_bytes(source_.file(kNames[i]), compressed(images, Compression::kGzip));
  for (const size_t i : {1, 3}) write_bytes(source_.file(kNames[i]), good);
  for (const size_t i : {1, 3}) {
    write_bytes(source_.file(kNames[i]), bad);
    EXPECT_THAT(error(), HasSubstr(kNames[i] + ": label 77 of item 100"));
    EXPECT_THAT(list_directory(out_.path()).value(), IsEmpty());
    write_bytes(source_.file(kNames[i]), good);
  }
  EXPECT_EQ(error(), "");
}

TEST_F(CreateRecords, LabelOutOfRangeIsAnError) {
  options_.classes = 3;
  EXPECT_THAT(error(), HasSubstr("expected 0 to 2"));
}

TEST_F(CreateRecords, ImageSizesMustAgree) {
  TmpDir other;
  write_bytes(source_.file("t10k-images-idx3-ubyte.gz"),
              compressed(idx_bytes({10, 3, 4}, noise(120, 1)), Compression::kGzip));
  EXPECT_THAT(error(), AllOf(HasSubstr("4x3x1"), HasSubstr("3x4x1")));
}

TEST_F(CreateRecords, MissingSourceIsNamed) {
  options_.source = source_.file("absent");
  EXPECT_THAT(error(), AllOf(HasSubstr("absent"), HasSubstr("URL")));
  options_.source = out_.path();
  EXPECT_THAT(error(), HasSubstr("train-images-idx3-ubyte.gz"));
  EXPECT_TRUE(list_directory(out_.path()).value().empty());
}

TEST_F(CreateRecords, UrlBaseIsDownloaded) {
  HttpFixture server(replies("/idx"));
  options_.source = server.url("/idx/");
  ASSERT_EQ(error(), "");
  EXPECT_EQ(lines_[0], "Successfully downloaded train-images-idx3-ubyte.gz " +
                           std::to_string(read_bytes(source_.file(kNames[0])).size()) + " bytes.");
  EXPECT_EQ(lines_[4], "Extracting " + out_.file("download/train-images-idx3-ubyte.gz"));
  expect_same_examples(source_.path(), out_.path());
}

TEST_F(CreateRecords, MirrorsAreTriedInTurn) {
  HttpFixture server({});
  HttpFixture wrong(replies("", {{kNames[1], {.body = "something else"}}}));
  HttpFixture good(replies(""));
  options_.source = kMirrorSource;
  options_.mirrors = mirrors({server.url(), wrong.url(), good.url()});
  ASSERT_EQ(error(), "");
  EXPECT_EQ(wrong.requests(), 4);
  EXPECT_EQ(good.requests(), 1);
  expect_same_examples(source_.path(), out_.path());
}

TEST_F(CreateRecords, CheckedDownloadIsUsedAgain) {
  HttpFixture server(replies(""));
  options_.source = kMirrorSource;
  options_.mirrors = mirrors({server.url()});
  ASSERT_EQ(error(), "");
  ASSERT_EQ(error(), "");
  EXPECT_EQ(server.requests(), 4);
}

TEST_F(CreateRecords, AllMirrorsFailingNamesEach) {
  HttpFixture first({}), second(replies("", {{kNames[0], {.body = "something else"}}}));
  options_.source = kMirrorSource;
  options_.mirrors = mirrors({first.url(), second.url()});
  EXPECT_THAT(error(), AllOf(HasSubstr(first.url()), HasSubstr("404"), HasSubstr(second.url()), HasSubstr("SHA-256")));
}

TEST_F(CreateRecords, UrlOfAMirrorIsChecked) {
  HttpFixture server(replies("", {{kNames[3], {.body = "something else"}}}));
  options_.source = server.url("/");
  options_.mirrors = mirrors({server.url()});
  EXPECT_THAT(error(), HasSubstr("SHA-256"));
}

TEST_F(CreateRecords, DefaultDirectoryFallsBackToTheMirrors) {
  HttpFixture server(replies(""));
  options_.source = source_.file("absent");
  options_.mirrors = mirrors({server.url()});
  options_.fall_back_to_mirrors = true;
  ASSERT_EQ(error(), "");
  EXPECT_THAT(lines_[0], HasSubstr("downloading from the public mirrors"));
  expect_same_examples(source_.path(), out_.path());
}

TEST_F(CreateRecords, MnistGivesTheSizesOfTheTutorial) {
  options_.source = kMnist;
  options_.validation_size = 5000;
  ASSERT_EQ(error(), "");
  EXPECT_EQ(read_bytes(out_.file("train.tfrecords")).size(), 49005000u);
  EXPECT_EQ(read_bytes(out_.file("validation.tfrecords")).size(), 4455000u);
  EXPECT_EQ(read_bytes(out_.file("test.tfrecords")).size(), 8910000u);
  expect_same_examples(kMnist, out_.path());
}

TEST_F(CreateRecords, FashionMnistWorksToo) {
  if (!is_directory(kFashionMnist)) GTEST_SKIP() << "the package dataset-fashion-mnist is not installed";
  options_.source = kFashionMnist;
  options_.validation_size = 5000;
  const RecordsSummary summary = create_records(options_).value();
  EXPECT_EQ(summary.train, 55000);
  EXPECT_EQ(summary.test, 10000);
  expect_same_examples(kFashionMnist, out_.path());
}

TEST(MnistFiles, HaveTheListedChecksums) {
  std::ifstream list(kMnist + "/SHA256SUMS");
  ASSERT_TRUE(list.good());
  int checked = 0;
  for (std::string sha256, name; list >> sha256 >> name; ++checked) {
    if (name.ends_with(".gz")) {
      EXPECT_EQ(sha256_hex(read_bytes(kMnist + "/" + name)), sha256) << name;
      continue;
    }
    const auto reader = GzipReader::open(kMnist + "/" + name + ".gz").value();
    std::string raw(48 << 20, '\0');
    raw.resize(reader->read(raw.data(), raw.size()).value());
    EXPECT_EQ(sha256_hex(raw), sha256) << name;
  }
  EXPECT_EQ(checked, 8);
}

}  // namespace
}  // namespace lockstep
