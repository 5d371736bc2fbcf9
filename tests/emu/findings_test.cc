// SPDX-License-Identifier: Apache-2.0
// Each kind of mistake is found, in every thread order, and the message says where.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "tests/emu/broken_kernels.h"
#include "tests/emu/emulated_test.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::Each;
using ::testing::HasSubstr;

class Findings : public EmulatedTest {};
LOCKSTEP_IN_ALL_ORDERS(Findings);

TEST_P(Findings, WritePastTheEndOfGlobalMemory) {
  DeviceBuffer<float> x = buffer(40);
  EXPECT_THAT(outcome(broken::write_past_end(stream_, x.data(), 40)),
              AllOf(HasSubstr("cudaErrorIllegalAddress"),
                    HasSubstr("kernel `broken::write_past_end_kernel`, block (1, 0, 0), thread (8, 0, 0): "
                              "out of bounds: write of 4 bytes"),
                    HasSubstr("0 bytes behind the end of an allocation of 160 bytes")));
}

TEST_P(Findings, ReadPastTheEndOfGlobalMemory) {
  DeviceBuffer<float> x = buffer(40), y = buffer(64);
  EXPECT_THAT(outcome(broken::read_past_end(stream_, x.data(), y.data(), 40)),
              AllOf(HasSubstr("read_past_end_kernel`, block (0, 0, 0), thread (40, 0, 0): out of bounds: read of 4"),
                    HasSubstr("0 bytes behind the end of an allocation of 160 bytes")));
}

TEST_P(Findings, WriteInFrontOfGlobalMemory) {
  DeviceBuffer<float> x = buffer(64);
  EXPECT_THAT(outcome(broken::write_in_front(stream_, x.data())),
              AllOf(HasSubstr("write_in_front_kernel`, block (0, 0, 0), thread (0, 0, 0): out of bounds: write of 4"),
                    HasSubstr("4 bytes in front of an allocation of 256 bytes")));
}

TEST_P(Findings, NullPointer) {
  EXPECT_THAT(outcome(broken::write_null(stream_)),
              ContainsRegex("thread .3, 0, 0.: out of bounds: write of 4 bytes at .*: not device memory"));
}

TEST_P(Findings, HostMemory) {
  DeviceBuffer<float> y = buffer(1);
  const std::vector<float> host(1);
  EXPECT_THAT(outcome(broken::read_host(stream_, host.data(), y.data())),
              ContainsRegex("thread .3, 0, 0.: out of bounds: read of 4 bytes at .*: not device memory"));
}

TEST_P(Findings, WritePastTheEndOfSharedMemory) {
  EXPECT_THAT(outcome(broken::write_past_shared(stream_)),
              AllOf(HasSubstr("thread (40, 0, 0): out of bounds: write"),
                    HasSubstr("0 bytes behind the end of shared `tile` of 160 bytes")));
  EXPECT_THAT(outcome(broken::write_past_dynamic_shared(stream_)),
              AllOf(HasSubstr("thread (40, 0, 0): out of bounds: write"),
                    HasSubstr("0 bytes behind the end of shared `dynamic memory` of 160 bytes")));
}

TEST_P(Findings, MisalignedVectorAccess) {
  DeviceBuffer<float> x = buffer(64), y = buffer(1);
  EXPECT_THAT(outcome(broken::misaligned_store(stream_, x.data())),
              AllOf(HasSubstr("cudaErrorMisalignedAddress"),
                    HasSubstr("misaligned_store_kernel`, block (0, 0, 0), thread (2, 0, 0): misaligned")));
  EXPECT_THAT(outcome(broken::misaligned_load(stream_, x.data(), y.data())),
              HasSubstr("misaligned_load_kernel`, block (0, 0, 0), thread (2, 0, 0): misaligned"));
  EXPECT_THAT(
      outcome(broken::misaligned_copy(stream_, x.data(), y.data())),
      HasSubstr("misaligned_copy_kernel`, block (0, 0, 0), thread (2, 0, 0): misaligned: cp.async of 16 bytes"));
}

TEST_P(Findings, UseAfterFree) {
  DeviceBuffer<float> y = buffer(1);
  const float* freed = nullptr;
  {
    DeviceBuffer<float> x = buffer(2);
    freed = x.data() + 1;
  }
  EXPECT_THAT(outcome(broken::read_one(stream_, freed, y.data())),
              AllOf(HasSubstr("thread (3, 0, 0): use after free: read of 4 bytes"),
                    HasSubstr("byte 4 of an allocation of 8 bytes that was freed")));
}

TEST_P(Findings, GlobalMemoryThatNobodyWrote) {
  DeviceBuffer<float> y = buffer(1);
  const auto x = DeviceBuffer<float>::allocate(*device_, 4).value();
  EXPECT_THAT(outcome(broken::read_one(stream_, x.data(), y.data())),
              AllOf(HasSubstr("thread (3, 0, 0): uninitialised: read of 4 bytes"),
                    HasSubstr("byte 0 of an allocation of 16 bytes")));
}

TEST_P(Findings, SharedMemoryThatNobodyWrote) {
  DeviceBuffer<float> y = buffer(1);
  EXPECT_THAT(
      outcome(broken::unwritten_shared(stream_, y.data())),
      AllOf(HasSubstr("thread (0, 0, 0): uninitialised: read of 4 bytes"), HasSubstr("byte 28 of shared `tile`")));
}

TEST_P(Findings, MissingBarrier) {
  DeviceBuffer<float> y = buffer(64);
  EXPECT_THAT(outcome(broken::missing_barrier(stream_, y.data())),
              ContainsRegex("missing_barrier_kernel`, block .0, 0, 0., thread .*: (race: |uninitialised: ).*shared"));
}

TEST_P(Findings, MissingBarrierBeforeReuse) {
  DeviceBuffer<float> y = buffer(64);
  EXPECT_THAT(outcome(broken::missing_barrier_before_reuse(stream_, y.data())),
              ContainsRegex("thread .*: race: .* without a barrier after the .* by another thread: .*shared `tile`"));
}

TEST_P(Findings, MissingWarpBarrier) {
  DeviceBuffer<float> y = buffer(64);
  EXPECT_THAT(outcome(broken::missing_syncwarp(stream_, y.data())), ContainsRegex("thread .*: race: .*shared `tile`"));
}

TEST_P(Findings, WarpBarriersOrderAWarp) {
  DeviceBuffer<float> y = buffer(64);
  ASSERT_EQ(outcome(broken::sound_neighbours(stream_, y.data())), "ok");
  const std::vector<float> got = values(y);
  for (size_t t = 0; t < 64; ++t) EXPECT_EQ(got[t], static_cast<float>(t / 32 * 32 + (t + 3) % 32));
}

TEST_P(Findings, RaceInGlobalMemory) {
  DeviceBuffer<float> y = buffer(64);
  EXPECT_THAT(outcome(broken::race_in_global(stream_, y.data())),
              ContainsRegex("thread .*: race: write .* after the write by another thread: byte .* of an allocation"));
  EXPECT_THAT(outcome(broken::race_of_blocks(stream_, y.data())),
              ContainsRegex("thread .0, 0, 0.: race: write .* after the write by another thread"));
}

// Whatever lies between two accesses of a byte, to another byte of its word.
TEST_P(Findings, RaceForAByteOfAWord) {
  DeviceBuffer<uint8_t> y = buffer(std::vector<uint8_t>(4));
  DeviceBuffer<float> sink = buffer(3);
  for (const bool blocks : {false, true}) {
    for (const bool reads : {false, true}) {
      EXPECT_THAT(outcome(broken::race_in_bytes(stream_, y.data(), sink.data(), reads, blocks)),
                  ContainsRegex("thread .*: race: .* by another thread: byte 0 of an allocation"))
          << (blocks ? "blocks" : "threads") << (reads ? " read" : " write");
    }
  }
  EXPECT_THAT(outcome(broken::race_in_byte_read_before(stream_, y.data(), sink.data())),
              ContainsRegex("thread .*: race: .* by another thread: byte 0 of an allocation"));
}

TEST_P(Findings, ThreadsMayTakeTurnsWithBytesOfOneWord) {
  DeviceBuffer<uint32_t> y = buffer(std::vector<uint32_t>(16));
  ASSERT_EQ(outcome(broken::sound_byte_turns(stream_, y.data())), "ok");
  EXPECT_EQ(values(y)[1], 0x25052404u);
}

TEST_P(Findings, NeighboursMayWriteBytesOfOneWord) {
  DeviceBuffer<uint8_t> y = buffer(std::vector<uint8_t>(66));
  ASSERT_EQ(outcome(broken::sound_bytes(stream_, y.data())), "ok");
  EXPECT_EQ(values(y)[65], 32);
}

TEST_P(Findings, DivergentBarrier) {
  EXPECT_THAT(outcome(broken::barrier_after_exit(stream_)),
              ContainsRegex("barrier_after_exit_kernel`, block .0, 0, 0.: divergent barrier: thread .0, 0, 0. waits in "
                            "__syncthreads at broken_kernels.cu:[0-9]+, but thread .5, 0, 0. has left the kernel"));
  EXPECT_THAT(outcome(broken::barriers_at_two_places(stream_)),
              ContainsRegex("divergent barrier: thread .0, 0, 0. waits in __syncthreads at .*, but thread .32, 0, 0. "
                            "waits in __syncthreads at"));
}

TEST_P(Findings, DivergentShuffle) {
  DeviceBuffer<float> y = buffer(64);
  EXPECT_THAT(outcome(broken::shuffle_in_branch(stream_, y.data())),
              ContainsRegex("divergent warp: thread .0, 0, 0. waits in a warp shuffle at .* for lane 16, but thread "
                            ".16, 0, 0. has left the kernel"));
}

TEST_P(Findings, IndexPastALocalArray) {
  DeviceBuffer<int> index = buffer(std::vector<int>{8});
  DeviceBuffer<float> y = buffer(64);
  EXPECT_THAT(outcome(broken::local_index(stream_, index.data(), y.data())),
              ContainsRegex("thread .1, 0, 0.: out of bounds: index 8 of an array, broken_kernels.cu:[0-9]+"));
}

TEST_P(Findings, AsynchronousCopyThatNobodyWaitedFor) {
  DeviceBuffer<float> x = buffer(256), y = buffer(64);
  EXPECT_THAT(outcome(broken::copy_without_wait(stream_, x.data(), y.data())),
              ContainsRegex("thread .*: (uninitialised|race): read .*shared `tile`"));
  EXPECT_THAT(outcome(broken::copy_waits_too_little(stream_, x.data(), y.data())),
              ContainsRegex("thread .*: (uninitialised|race): read .*shared `tile`"));
}

TEST_P(Findings, AsynchronousCopyIntoABufferThatIsStillRead) {
  DeviceBuffer<float> x = buffer(256), y = buffer(64);
  EXPECT_THAT(outcome(broken::copy_into_read_buffer(stream_, x.data(), y.data())),
              ContainsRegex("thread .*: race: .*shared `tile`"));
}

TEST_P(Findings, AsynchronousCopiesInTwoBuffersAreSound) {
  std::vector<float> in(256);
  std::iota(in.begin(), in.end(), 0.0f);
  DeviceBuffer<float> x = buffer(in), y = buffer(64);
  ASSERT_EQ(outcome(broken::sound_copies(stream_, x.data(), y.data())), "ok");
  EXPECT_EQ(values(y)[0], 4 * 1 + 64 + 128 + 192);
}

TEST_P(Findings, TooMuchSharedMemory) {
  EXPECT_EQ(outcome(broken::too_much_shared(stream_, 64 * 1024)), "ok");
  EXPECT_THAT(
      outcome(broken::too_much_shared(stream_, 200 * 1024)),
      AllOf(HasSubstr("launch of `broken::dynamic_kernel` with grid (1, 1, 1), block (32, 1, 1) and 204800 bytes"),
            HasSubstr("a block may have 101376")));
}

TEST_P(Findings, DeviceGoesOnAfterAFinding) {
  DeviceBuffer<float> y = buffer(64);
  EXPECT_NE(outcome(broken::missing_barrier(stream_, y.data())), "ok");
  EXPECT_EQ(outcome(broken::sound_neighbours(stream_, y.data())), "ok");
}

}  // namespace
}  // namespace lockstep
