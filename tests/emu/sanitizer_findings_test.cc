// SPDX-License-Identifier: Apache-2.0
// With AddressSanitizer and UBSan, they find what the emulator's own checks find elsewhere; they end the process.
#include <gtest/gtest.h>

#include "tests/emu/broken_kernels.h"
#include "tests/emu/emulated_test.h"

namespace lockstep {
namespace {

class SanitizerFindings : public EmulatedTest {};
LOCKSTEP_IN_ALL_ORDERS(SanitizerFindings);

TEST_P(SanitizerFindings, AccessPastTheEndOfGlobalMemory) {
  DeviceBuffer<float> x = buffer(40), y = buffer(64);
  EXPECT_DEATH(outcome(broken::write_past_end(stream_, x.data(), 40)), "use-after-poison");
  EXPECT_DEATH(outcome(broken::read_past_end(stream_, x.data(), y.data(), 40)), "use-after-poison");
  EXPECT_DEATH(outcome(broken::write_in_front(stream_, x.data())), "use-after-poison");
}

TEST_P(SanitizerFindings, WritePastTheEndOfSharedMemory) {
  EXPECT_DEATH(outcome(broken::write_past_shared(stream_)), "use-after-poison");
  EXPECT_DEATH(outcome(broken::write_past_dynamic_shared(stream_)), "use-after-poison");
}

TEST_P(SanitizerFindings, UseAfterFree) {
  DeviceBuffer<float> y = buffer(1);
  const float* freed = buffer(2).data();
  EXPECT_DEATH(outcome(broken::read_one(stream_, freed, y.data())), "use-after-poison");
}

#if !defined(__clang__)  // clang++ does not look at the alignment of a struct that is copied as a whole
TEST_P(SanitizerFindings, MisalignedVectorAccess) {
  DeviceBuffer<float> x = buffer(64);
  EXPECT_DEATH(outcome(broken::misaligned_store(stream_, x.data())), "misaligned address");
}
#endif

TEST_P(SanitizerFindings, IndexPastALocalArray) {
  DeviceBuffer<int> index = buffer(std::vector<int>{8});
  DeviceBuffer<float> y = buffer(64);
  EXPECT_DEATH(outcome(broken::local_index(stream_, index.data(), y.data())), "out of bounds");
}

TEST_P(SanitizerFindings, SoundKernelsPass) {
  DeviceBuffer<float> y = buffer(64);
  EXPECT_EQ(outcome(broken::sound_neighbours(stream_, y.data())), "ok");
}

}  // namespace
}  // namespace lockstep
