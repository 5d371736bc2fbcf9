// SPDX-License-Identifier: Apache-2.0
// The double must be able to show what real devices punish.
#include "tests/support/fake_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/base/device_handles.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

struct TwoStreams {
  explicit TwoStreams(uint64_t seed) : device({.seed = seed}) {}

  FakeDevice device;
  OwnedStream first = *make_stream(device), second = *make_stream(device);
  OwnedEvent event = *make_event(device);
  int value = 0;

  void set(const OwnedStream& stream, int to) {
    ASSERT_TRUE(FakeDevice::enqueue(stream.get(), [this, to] {
                  value = to;
                  return absl::OkStatus();
                }).ok());
  }
  int result() {
    EXPECT_TRUE(device.synchronize(first.get()).ok());
    EXPECT_TRUE(device.synchronize(second.get()).ok());
    return value;
  }
};

// Two branches of a graph, so that both are there to choose from.
TEST(FakeDevice, UnorderedWorkRunsInEitherOrder) {
  std::set<int> seen;
  for (uint64_t seed = 1; seed < 40; ++seed) {
    TwoStreams streams(seed);
    const DeviceStream first = streams.first.get(), second = streams.second.get();
    ASSERT_TRUE(streams.device.begin_capture(first).ok());
    streams.set(streams.first, 0);
    ASSERT_TRUE(streams.device.record(streams.event.get(), first).ok());
    ASSERT_TRUE(streams.device.wait(second, streams.event.get()).ok());
    streams.set(streams.first, 1);
    streams.set(streams.second, 2);
    ASSERT_TRUE(streams.device.record(streams.event.get(), second).ok());
    ASSERT_TRUE(streams.device.wait(first, streams.event.get()).ok());
    const auto graph = streams.device.end_capture(first);
    ASSERT_TRUE(graph.ok());
    const OwnedGraph owned(streams.device, *graph);
    ASSERT_TRUE(streams.device.launch(*graph, first).ok());
    seen.insert(streams.result());
  }
  EXPECT_EQ(seen, (std::set<int>{1, 2}));
}

TEST(FakeDevice, EventsOrderStreams) {
  for (uint64_t seed = 1; seed < 40; ++seed) {
    TwoStreams streams(seed);
    streams.set(streams.first, 1);
    ASSERT_TRUE(streams.device.record(streams.event.get(), streams.first.get()).ok());
    ASSERT_TRUE(streams.device.wait(streams.second.get(), streams.event.get()).ok());
    streams.set(streams.second, 2);
    EXPECT_EQ(streams.result(), 2);
  }
}

TEST(FakeDevice, CapturedWorkRunsAtEveryLaunchAndNotBefore) {
  TwoStreams streams(3);
  ASSERT_TRUE(streams.device.begin_capture(streams.first.get()).ok());
  ASSERT_TRUE(FakeDevice::enqueue(streams.first.get(), [&] {
                ++streams.value;
                return absl::OkStatus();
              }).ok());
  const auto graph = streams.device.end_capture(streams.first.get());
  ASSERT_TRUE(graph.ok());
  const OwnedGraph owned(streams.device, *graph);
  EXPECT_EQ(streams.result(), 0);
  for (int launches = 1; launches <= 3; ++launches) {
    ASSERT_TRUE(streams.device.launch(*graph, streams.first.get()).ok());
    EXPECT_EQ(streams.result(), launches);
  }
}

TEST(FakeDevice, ForkedStreamThatIsNotJoinedFailsTheCapture) {
  TwoStreams streams(3);
  ASSERT_TRUE(streams.device.begin_capture(streams.first.get()).ok());
  streams.set(streams.first, 1);
  ASSERT_TRUE(streams.device.record(streams.event.get(), streams.first.get()).ok());
  ASSERT_TRUE(streams.device.wait(streams.second.get(), streams.event.get()).ok());
  streams.set(streams.second, 2);
  EXPECT_THAT(std::string(streams.device.end_capture(streams.first.get()).status().message()),
              HasSubstr("was not waited for"));
}

TEST(FakeDevice, FailedWorkIsReportedByLaterCalls) {
  TwoStreams streams(3);
  ASSERT_TRUE(FakeDevice::enqueue(streams.first.get(), [] { return absl::InternalError("broken"); }).ok());
  EXPECT_EQ(streams.device.synchronize(streams.first.get()).message(), "broken");
  EXPECT_EQ(streams.device.happened(streams.event.get()).status().message(), "broken");
}

TEST(FakeDevice, MemoryStartsAsNanAndEnds) {
  FakeDevice device({.memory_bytes = 1000});
  const auto buffer = DeviceBuffer<float>::allocate(device, 200);
  ASSERT_TRUE(buffer.ok());
  EXPECT_TRUE(std::isnan(buffer->data()[199]));
  EXPECT_EQ(device.memory()->free_bytes, 200);
  EXPECT_TRUE(absl::IsResourceExhausted(DeviceBuffer<float>::allocate(device, 51).status()));
}

}  // namespace
}  // namespace lockstep
