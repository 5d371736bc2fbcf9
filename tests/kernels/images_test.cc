// SPDX-License-Identifier: Apache-2.0
#include "kernels/images/images.h"

#include <gmock/gmock.h>

#include "tests/kernels/misaligned.h"
#include "tests/kernels/on_backends.h"
#include "tests/support/guarded.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;

std::vector<uint8_t> bytes_of(int64_t count) {
  std::vector<uint8_t> bytes(static_cast<size_t>(count));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(7 * i + 1);
  return bytes;
}

// Between guard words.
std::vector<float> scaled(const KernelContext& ctx, const std::vector<uint8_t>& values,
                          const Misalignment& misalignment = {0, 0}) {
  const Guarded<uint8_t> bytes(values, misalignment[0]);
  Guarded<float> x(static_cast<int64_t>(values.size()), misalignment[1]);
  EXPECT_TRUE(scale_images(ctx, static_cast<int64_t>(values.size()), bytes.data(), x.data()).ok());
  EXPECT_TRUE(bytes.untouched());
  EXPECT_TRUE(x.intact());
  return x.values();
}

class Images : public OnBackends {};
LOCKSTEP_ON_ALL_BACKENDS(Images);

TEST_P(Images, HandWorkedExample) {
  EXPECT_THAT(scaled(ctx(), {0, 255, 51}), ElementsAre(0.0f, 1.0f, FloatNear(0.2f, 1e-7f)));
}

// Around multiples of what a thread and a block of a GPU do.
TEST_P(Images, EveryByteBecomesItsPartOf255) {
  for (const int64_t count : {1, 3, 4, 5, 255, 256, 257, 1022, 1023, 1024, 1025, 2051}) {
    SCOPED_TRACE(count);
    const std::vector<uint8_t> bytes = bytes_of(count);
    std::vector<float> expected;
    for (const uint8_t byte : bytes) expected.push_back(static_cast<float>(byte) * (1.0f / 255));
    EXPECT_EQ(scaled(ctx(), bytes), expected);
    EXPECT_EQ(scaled(ctx(), bytes, {1, 1}), expected);
  }
}

TEST_P(Images, ArraysMayLieAnywhere) {
  expect_same_wherever_an_array_lies(
      2, [&](const Misalignment& off) { return std::vector<std::vector<float>>{scaled(ctx(), bytes_of(1033), off)}; });
}

TEST_P(Images, NoImageIsNoWork) { EXPECT_TRUE(scale_images(ctx(), 0, nullptr, nullptr).ok()); }

TEST_P(Images, RejectsANegativeCount) {
  EXPECT_TRUE(absl::IsInvalidArgument(scale_images(ctx(), -1, nullptr, nullptr)));
}

}  // namespace
}  // namespace lockstep
