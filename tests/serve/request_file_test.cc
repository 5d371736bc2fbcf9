// SPDX-License-Identifier: Apache-2.0
#include "serve/request_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/file.h"
#include "io/records_command.h"
#include "tests/io/io_fixtures.h"
#include "tests/support/fault_file.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

// Two test images of 2 x 2 and the training files that the directory needs.
void write_data(const TmpDir& dir) {
  const std::string pixels("\x00\x01\x02\xff\x54\x80\x7f\x03", 8);
  for (const std::string stem : {"train", "t10k"}) {
    write_bytes(dir.file(stem + "-images-idx3-ubyte"), idx_bytes({2, 2, 2}, pixels));
    write_bytes(dir.file(stem + "-labels-idx1-ubyte"), idx_bytes({2}, std::string("\1\2", 2)));
  }
}

// What Python prints: float32(pixel) * float32(1 / 255) as json.dumps of its tolist().
constexpr char kFirst[] = "{\"inputs\": [0.0, 0.003921568859368563, 0.007843137718737125, 1.0]}\n";
constexpr char kSecond[] =
    "{\"inputs\": [0.3294117748737335, 0.501960813999176, 0.49803924560546875, 0.011764707043766975]}\n";

TEST(RequestFile, HoldsTheFirstImagesAsPythonPrintsThem) {
  TmpDir dir;
  write_data(dir);
  EXPECT_EQ(request_lines({.data_dir = dir.path(), .count = 1}).value(), kFirst);
  EXPECT_EQ(request_lines({.data_dir = dir.path(), .count = 2}).value(), std::string(kFirst) + kSecond);
}

TEST(RequestFile, RecordsGiveTheSameLinesAsIdxFiles) {
  TmpDir dir, records;
  write_data(dir);
  ASSERT_TRUE(create_records({.source = dir.path(), .directory = records.path(), .validation_size = 1}).ok());
  EXPECT_EQ(request_lines({.data_dir = records.path(), .count = 2}).value(), std::string(kFirst) + kSecond);
}

TEST(RequestFile, IsWrittenWholeOrNotAtAll) {
  TmpDir dir;
  write_data(dir);
  const RequestOptions options{.data_dir = dir.path(), .count = 2, .output = dir.file("request.json")};
  spill(options.output, "before");
  {
    NoSpaceAfter full_disk(20);
    const ScopedFileHooks hooks(&full_disk);
    EXPECT_FALSE(create_request(options).ok());
  }
  EXPECT_EQ(slurp(options.output), "before");
  ASSERT_TRUE(create_request(options).ok());
  EXPECT_EQ(slurp(options.output), std::string(kFirst) + kSecond);
}

TEST(RequestFile, MoreImagesThanThereAreIsAnError) {
  TmpDir dir;
  write_data(dir);
  const absl::Status status = create_request({.data_dir = dir.path(), .count = 3, .output = dir.file("request.json")});
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(message_of(status), HasSubstr("3 images asked for, but the test set holds 2"));
  EXPECT_FALSE(file_exists(dir.file("request.json")));
}

}  // namespace
}  // namespace lockstep
