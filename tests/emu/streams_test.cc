// SPDX-License-Identifier: Apache-2.0
// Streams, events and graphs of the emulated GPU: what is ordered runs in order, and what is not is found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cstdlib>
#include <thread>

#include "kernels/emu/stream.h"
#include "tests/emu/emulated_test.h"
#include "tests/emu/sound_kernels.h"

namespace lockstep {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Floats = std::vector<float>;

constexpr size_t kSize = 64 * 32;  // of sound::add

class Streams : public EmulatedTest {
 protected:
  Streams() : other_(device_->create_stream().value()) {}
  ~Streams() override { device_->destroy(other_); }

  // Work that writes down that it ran.
  void note(DeviceStream stream, int number) {
    const auto work = [this, number] {
      ran_.push_back(number);
      return emu::Failure{};
    };
    ASSERT_EQ(emu::enqueue_work(static_cast<cudaStream_t>(stream.native), work), cudaSuccess);
  }
  void sync(DeviceStream stream) { ASSERT_TRUE(device_->synchronize(stream).ok()); }

  DeviceStream other_;
  std::vector<int> ran_;
};
LOCKSTEP_IN_ALL_ORDERS(Streams);

TEST_P(Streams, NothingRunsBeforeTheHostWaits) {
  note(stream_, 1);
  note(other_, 2);
  EXPECT_THAT(ran_, ElementsAre());
  sync(stream_);
  EXPECT_THAT(ran_, ElementsAre(1));
  sync(other_);
  EXPECT_THAT(ran_, ElementsAre(1, 2));
}

TEST_P(Streams, EventOrdersTwoStreams) {
  const DeviceEvent event = device_->create_event().value();
  note(stream_, 1);
  ASSERT_TRUE(device_->record(event, stream_).ok());
  note(stream_, 2);
  ASSERT_TRUE(device_->wait(other_, event).ok());
  note(other_, 3);
  EXPECT_FALSE(device_->happened(event).value());
  sync(other_);
  EXPECT_THAT(ran_, ElementsAre(1, 3));  // 2 lies behind the event
  EXPECT_TRUE(device_->happened(event).value());
  sync(stream_);
  EXPECT_THAT(ran_, ElementsAre(1, 3, 2));
  device_->destroy(event);
}

TEST_P(Streams, WaitIsForTheRecordBeforeIt) {
  const DeviceEvent event = device_->create_event().value();
  ASSERT_TRUE(device_->wait(other_, event).ok());  // never recorded: nothing to wait for
  note(stream_, 1);
  ASSERT_TRUE(device_->record(event, stream_).ok());
  ASSERT_TRUE(device_->wait(other_, event).ok());
  note(stream_, 2);
  ASSERT_TRUE(device_->record(event, stream_).ok());
  note(other_, 3);
  sync(other_);
  EXPECT_THAT(ran_, ElementsAre(1, 3));
  sync(stream_);
  device_->destroy(event);
}

TEST_P(Streams, PollingAnEventMakesProgress) {
  const DeviceEvent event = device_->create_event().value();
  for (int i = 0; i < 5; ++i) note(stream_, i);
  ASSERT_TRUE(device_->record(event, stream_).ok());
  int polls = 0;
  while (!device_->happened(event).value()) ASSERT_LT(++polls, 20);
  EXPECT_THAT(ran_, ElementsAre(0, 1, 2, 3, 4));
  device_->destroy(event);
}

TEST_P(Streams, CopyReadsHostMemoryLate) {
  Floats host(4, 1.0f);
  const auto x = DeviceBuffer<float>::allocate(*device_, 4).value();
  ASSERT_TRUE(device_->copy(x.data(), host.data(), x.bytes(), stream_).ok());
  host.assign(4, 2.0f);  // too early: the stream has not done it
  EXPECT_THAT(values(x), Each(2.0f));
}

TEST_P(Streams, MemoryFreedWhileItIsNeededIsFound) {
  const DeviceBuffer<float> to = buffer(kSize);
  {
    const DeviceBuffer<float> from = buffer(kSize);
    ASSERT_TRUE(device_->copy(to.data(), from.data(), to.bytes(), stream_).ok());
  }
  EXPECT_THAT(std::string(device_->synchronize(stream_).message()),
              ::testing::AllOf(HasSubstr("a copy of 8192 bytes from"), HasSubstr("that was freed")));
}

TEST_P(Streams, CopyPastAnEndIsFound) {
  const DeviceBuffer<float> x = buffer(4);
  Floats host(5);
  ASSERT_TRUE(device_->copy(host.data(), x.data(), 20, stream_).ok());
  EXPECT_THAT(std::string(device_->synchronize(stream_).message()), HasSubstr("a copy of 20 bytes from"));
  EXPECT_THAT(outcome(device_->fill_zero(x.data() + 1, 16, stream_)), HasSubstr("cudaMemset of 16 bytes"));
}

TEST_P(Streams, AFindingEndsWhatIsEnqueuedBehindIt) {
  const auto bad = [] { return emu::Failure{cudaErrorLaunchFailure, "it broke"}; };
  ASSERT_EQ(emu::enqueue_work(static_cast<cudaStream_t>(stream_.native), bad), cudaSuccess);
  note(stream_, 1);
  note(other_, 2);
  EXPECT_EQ(std::string(device_->synchronize(stream_).message()),
            "cudaStreamSynchronize: cudaErrorLaunchFailure: it broke");
  sync(stream_);
  sync(other_);
  EXPECT_THAT(ran_, ElementsAre());
}

TEST_P(Streams, GraphRunsWhatWasCapturedEachTime) {
  const DeviceBuffer<float> x = buffer(kSize);
  ASSERT_TRUE(device_->begin_capture(stream_).ok());
  ASSERT_TRUE(sound::add(stream_, x.data(), 1).ok());
  ASSERT_TRUE(sound::add(stream_, x.data(), 2).ok());
  const DeviceGraph graph = device_->end_capture(stream_).value();
  EXPECT_THAT(values(x), Each(0.0f));  // recorded, not run
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(device_->launch(graph, stream_).ok());
  EXPECT_THAT(values(x), Each(9.0f));
  device_->destroy(graph);
}

TEST_P(Streams, GraphKeepsTheOrderOfEventsAndNoOther) {
  const DeviceEvent fork = device_->create_event().value(), join = device_->create_event().value();
  ASSERT_TRUE(device_->begin_capture(stream_).ok());
  note(stream_, 1);
  ASSERT_TRUE(device_->record(fork, stream_).ok());
  ASSERT_TRUE(device_->wait(other_, fork).ok());
  note(other_, 2);
  note(stream_, 3);  // beside 2
  ASSERT_TRUE(device_->record(join, other_).ok());
  ASSERT_TRUE(device_->wait(stream_, join).ok());
  note(stream_, 4);
  const DeviceGraph graph = device_->end_capture(stream_).value();
  ASSERT_TRUE(device_->launch(graph, stream_).ok());
  sync(stream_);
  ASSERT_EQ(ran_.size(), 4u);
  EXPECT_EQ(ran_[0], 1);
  EXPECT_EQ(ran_[3], 4);
  EXPECT_TRUE(ran_[1] == 3 || GetParam().kind == emu::Order::kSeeded);  // the latest first
  device_->destroy(graph);
  device_->destroy(fork);
  device_->destroy(join);
}

TEST_P(Streams, CaptureThatAForkedStreamDoesNotJoinIsAnError) {
  const DeviceEvent fork = device_->create_event().value();
  ASSERT_TRUE(device_->begin_capture(stream_).ok());
  ASSERT_TRUE(device_->record(fork, stream_).ok());
  ASSERT_TRUE(device_->wait(other_, fork).ok());
  note(other_, 1);
  EXPECT_THAT(std::string(device_->end_capture(stream_).status().message()),
              HasSubstr("cudaErrorStreamCaptureUnjoined"));
  note(other_, 2);  // it captures no longer
  sync(other_);
  EXPECT_THAT(ran_, ElementsAre(2));
  device_->destroy(fork);
}

TEST_P(Streams, WaitingBreaksACapture) {
  ASSERT_TRUE(device_->begin_capture(stream_).ok());
  EXPECT_THAT(std::string(device_->synchronize(stream_).message()), HasSubstr("while a stream captures"));
  EXPECT_THAT(std::string(device_->end_capture(stream_).status().message()),
              HasSubstr("cudaErrorStreamCaptureInvalidated"));
}

TEST_P(Streams, CaptureCannotWaitForWorkOutsideIt) {
  const DeviceEvent event = device_->create_event().value();
  ASSERT_TRUE(device_->record(event, other_).ok());
  ASSERT_TRUE(device_->begin_capture(stream_).ok());
  EXPECT_THAT(std::string(device_->wait(stream_, event).message()), HasSubstr("cudaErrorStreamCaptureIsolation"));
  EXPECT_FALSE(device_->end_capture(stream_).ok());
  device_->destroy(event);
}

TEST_P(Streams, MemoryRunsOutWithTheSizesInTheMessage) {
  const int64_t before = emu::device_memory_bytes();
  emu::set_device_memory_bytes(1 << 20);
  const DeviceMemoryInfo info = device_->memory().value();
  EXPECT_EQ(info.total_bytes, 1 << 20);
  const absl::StatusOr<void*> memory = device_->allocate(2 << 20);
  EXPECT_TRUE(absl::IsResourceExhausted(memory.status()));
  EXPECT_THAT(std::string(memory.status().message()), HasSubstr("2097152 bytes wanted"));
  emu::set_device_memory_bytes(before);
}

#if !defined(LOCKSTEP_ADDRESS_SANITIZER)
// Written by code that no hook watches.
TEST_P(Streams, GuardBytesAreComparedAfterEachLaunch) {
  const DeviceBuffer<float> x = buffer(kSize);
  const auto overwrite = [&x](int64_t index, float value) {
    return [p = x.data() + index, value] {
      *p = value;
      return emu::Failure{};
    };
  };
  const auto launch_after = [&](const emu::Work& work) {
    EXPECT_EQ(emu::enqueue_work(static_cast<cudaStream_t>(stream_.native), work), cudaSuccess);
    return outcome(sound::add(stream_, x.data(), 1));
  };
  EXPECT_THAT(
      launch_after(overwrite(kSize, 1)),
      HasSubstr("kernel `sound::add_kernel`: the guard bytes behind an allocation of 8192 bytes were overwritten"));
  const float nan = std::bit_cast<float>(0xFFFFFFFFu);
  EXPECT_EQ(launch_after(overwrite(kSize, nan)), "ok");
  EXPECT_THAT(launch_after(overwrite(-1, 1)), HasSubstr("the guard bytes in front of an allocation of 8192 bytes"));
  EXPECT_EQ(cudaFree(x.data()), cudaErrorIllegalAddress);
  EXPECT_THAT(cudaGetErrorString(cudaErrorIllegalAddress), HasSubstr("the guard bytes"));
  EXPECT_EQ(cudaFree(x.data()), cudaErrorInvalidValue);  // a second time, as the buffer's end will
}
#endif

TEST(EmulatedDevices, AreAsManyAsTheEnvironmentSays) {
  ASSERT_EQ(::setenv("LOCKSTEP_EMU_DEVICES", "0", 1), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(cuda_device_count().status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(make_cuda_device(0).status()));
  ASSERT_EQ(::setenv("LOCKSTEP_EMU_DEVICES", "2", 1), 0);
  EXPECT_EQ(cuda_device_count().value(), 2);
  EXPECT_EQ(make_cuda_device(1).value()->name(), "emulated GPU (sm_86)");
  EXPECT_NE(cuda_device_id(0).value(), cuda_device_id(1).value());
  EXPECT_THAT(std::string(make_cuda_device(2).status().message()), HasSubstr("no GPU 2: this process sees 2"));
  ASSERT_EQ(::unsetenv("LOCKSTEP_EMU_DEVICES"), 0);
}

// An inline function of a kernel's file may serve the whole program, hooks and all.
TEST_P(Streams, OtherThreadsOfTheHostAreNotTakenForThreadsOfAKernel) {
  const DeviceBuffer<float> x = buffer(kSize);
  std::atomic<bool> stop = false;
  std::thread other([&stop] {
    std::vector<float> host(1);
    while (!stop) sound::touch_host(host.data());
  });
  for (int i = 0; i < 20; ++i) EXPECT_EQ(outcome(sound::add(stream_, x.data(), 1)), "ok");
  stop = true;
  other.join();
}

TEST_P(Streams, HostCannotTouchDeviceMemory) {
  const DeviceBuffer<float> x = buffer(1);
  EXPECT_DEATH(*static_cast<volatile float*>(x.data()) = 1, "");
}

}  // namespace
}  // namespace lockstep
