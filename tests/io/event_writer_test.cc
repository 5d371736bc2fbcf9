// SPDX-License-Identifier: Apache-2.0
#include "io/event_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <thread>

#include <fmt/format.h>

#include "core/base/host_info.h"
#include "io/proto/event.pb.h"
#include "io/tfrecord.h"
#include "tests/support/fault_file.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

// The records of an event file, CRCs checked.
std::vector<proto::Event> events_in(const std::string& path) {
  auto reader = TfRecordReader::open(path);
  LOCKSTEP_CHECK(reader.ok());
  std::vector<proto::Event> events;
  for (std::string_view payload;;) {
    const auto more = (*reader)->next(&payload);
    LOCKSTEP_CHECK(more.ok());
    if (!*more) return events;
    LOCKSTEP_CHECK(events.emplace_back().ParseFromString(std::string(payload)));
  }
}

std::unique_ptr<EventWriter> writer_in(const std::string& directory, const EventWriterOptions& options = {}) {
  auto writer = EventWriter::open(directory, options);
  LOCKSTEP_CHECK(writer.ok());
  return *std::move(writer);
}

TEST(EventWriter, NamesTheFileAsTensorBoardExpectsAndStartsWithTheVersion) {
  const TmpDir dir;
  const auto writer = writer_in(dir.file("eval"));
  const std::string name = base_name(writer->path());
  EXPECT_EQ(directory_name(writer->path()), dir.file("eval"));
  EXPECT_THAT(name, StartsWith("events.out.tfevents."));
  EXPECT_EQ(name.find_first_not_of("0123456789", 20), 30u);
  EXPECT_EQ(name.substr(30), fmt::format(".{}", host_name()));
  // 24 bytes of payload: 09 <double> 1a 0d "brain.Event:2".
  const std::string file = slurp(writer->path());
  ASSERT_EQ(file.size(), 40u);
  EXPECT_EQ(file.substr(0, 8), std::string("\x18\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(file[12], '\x09');
  EXPECT_EQ(file.substr(21, 2), "\x1a\x0d");
  EXPECT_EQ(file.substr(23, 13), "brain.Event:2");
}

TEST(EventWriter, EveryCallIsInTheFileWhenItReturns) {
  const TmpDir dir;
  const auto writer = writer_in(dir.path());
  ASSERT_TRUE(writer->add_scalar(100, "loss", 0.5f).ok());
  const std::vector<std::pair<std::string, float>> two = {{"accuracy", 0.99f}, {"images_per_sec", 4000.0f}};
  ASSERT_TRUE(writer->add_scalars(200, two).ok());
  const auto events = events_in(writer->path());
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[1].step(), 100);
  EXPECT_GT(events[1].wall_time(), 1.5e9);
  ASSERT_EQ(events[1].summary().value_size(), 1);
  EXPECT_EQ(events[1].summary().value(0).tag(), "loss");
  EXPECT_EQ(events[1].summary().value(0).simple_value(), 0.5f);
  ASSERT_EQ(events[2].summary().value_size(), 2);
  EXPECT_EQ(events[2].summary().value(1).tag(), "images_per_sec");
}

TEST(EventWriter, AScalarOfZeroIsWritten) {
  const TmpDir dir;
  const auto writer = writer_in(dir.path());
  ASSERT_TRUE(writer->add_scalar(1, "loss", 0).ok());
  EXPECT_TRUE(events_in(writer->path()).at(1).summary().value(0).has_simple_value());
}

TEST(EventWriter, AResumedRunGetsItsOwnFileAndAStartEvent) {
  const TmpDir dir;
  for (int run = 0; run < 3; ++run) {  // within a second, so the names clash
    const auto writer = writer_in(dir.path(), {.resume_step = 200});
    const auto events = events_in(writer->path());
    ASSERT_EQ(events.size(), 2u);
    EXPECT_EQ(events[1].session_log().status(), proto::SessionLog::START);
    EXPECT_EQ(events[1].step(), 201);  // the points at 200 stay
  }
  EXPECT_THAT(list_directory(dir.path()).value(), SizeIs(3));
}

TEST(EventWriter, ARunThatStartsOverDropsThePointsOfTheOneBefore) {
  const TmpDir dir;
  ASSERT_EQ(events_in(writer_in(dir.path())->path()).size(), 1u);
  const auto events = events_in(writer_in(dir.path())->path());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].session_log().status(), proto::SessionLog::START);
  EXPECT_EQ(events[1].step(), 1);
}

TEST(EventWriter, AHistogramHoldsTheStatisticsOfItsValues) {
  const TmpDir dir;
  const auto writer = writer_in(dir.path());
  const std::vector<float> values = {-1, 0, 2, 2, std::numeric_limits<float>::quiet_NaN()};
  ASSERT_TRUE(writer->add_histogram(7, "dense/kernel", values).ok());
  const auto histo = events_in(writer->path()).at(1).summary().value(0).histo();
  EXPECT_EQ(histo.min(), -1);
  EXPECT_EQ(histo.max(), 2);
  EXPECT_EQ(histo.num(), 4);
  EXPECT_EQ(histo.sum(), 3);
  EXPECT_EQ(histo.sum_squares(), 9);
  EXPECT_EQ(histo.bucket_size(), histo.bucket_limit_size());
}

TEST(EventWriter, AHistogramOfNothingFiniteIsNotWritten) {
  const TmpDir dir;
  const auto writer = writer_in(dir.path());
  EXPECT_TRUE(writer->add_histogram(7, "w", {}).ok());
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(writer->add_histogram(7, "w", {&inf, 1}).ok());
  EXPECT_EQ(events_in(writer->path()).size(), 1u);
}

TEST(EventWriter, ImagesAndGraphsAreStored) {
  const TmpDir dir;
  const auto writer = writer_in(dir.path());
  const std::vector<uint8_t> pixels(2 * 3 * 3, 128);
  ASSERT_TRUE(writer->add_image(5, "mistakes/0", pixels, 2, 3, 3).ok());
  ASSERT_TRUE(writer->add_graph("graph bytes").ok());
  EXPECT_TRUE(absl::IsInvalidArgument(writer->add_image(5, "mistakes/0", pixels, 2, 3, 1)));
  const auto events = events_in(writer->path());
  ASSERT_EQ(events.size(), 3u);
  const auto& image = events[1].summary().value(0).image();
  EXPECT_EQ(image.height(), 2);
  EXPECT_EQ(image.width(), 3);
  EXPECT_EQ(image.colorspace(), 3);
  EXPECT_THAT(image.encoded_image_string(), StartsWith("\x89PNG\r\n\x1a\n"));
  EXPECT_EQ(events[2].graph_def(), "graph bytes");
}

TEST(EventWriter, AFullDiskIsReportedOnceAndWhatWasWrittenStaysReadable) {
  const TmpDir dir;
  const auto writer = writer_in(dir.path());
  NoSpaceAfter faults(0);
  const ScopedFileHooks hooks(&faults);
  const std::string message(writer->add_scalar(1, "loss", 1).message());
  EXPECT_THAT(message, HasSubstr("No space left"));
  EXPECT_THAT(message, HasSubstr(writer->path()));
  EXPECT_TRUE(writer->add_scalar(2, "loss", 1).ok());
  EXPECT_EQ(events_in(writer->path()).size(), 1u);
}

TEST(EventWriter, RecordsOfSeveralThreadsStayWhole) {
  const TmpDir dir;
  const auto writer = writer_in(dir.path());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) EXPECT_TRUE(writer->add_scalar(i, fmt::format("rank_{}/cpu", t), 1).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(events_in(writer->path()).size(), 1 + 4 * 50u);
}

}  // namespace
}  // namespace lockstep
