// SPDX-License-Identifier: Apache-2.0
// What device code calls does on the emulator what CUDA says, in every thread order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/emu/warp_ops.h"
#include "tests/emu/emulated_test.h"
#include "tests/emu/sound_kernels.h"
#include "tests/support/fill.h"

namespace lockstep {
namespace {

using ::testing::Each;
using Floats = std::vector<float>;

class DeviceFunctions : public EmulatedTest {};
LOCKSTEP_IN_ALL_ORDERS(DeviceFunctions);

// Small whole numbers, exact in TF32 and bfloat16, no two rows or columns alike.
Floats numbers_for(size_t count, int seed) {
  Floats values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>((static_cast<int>(i) * 7 + seed) % 31 - 15);
  return values;
}

Floats product(const Floats& a, const Floats& b, size_t K) {
  Floats c(16 * 8);
  for (size_t m = 0; m < 16; ++m) {
    for (size_t n = 0; n < 8; ++n) {
      for (size_t k = 0; k < K; ++k) c[m * 8 + n] += a[m * K + k] * b[k * 8 + n];
    }
  }
  return c;
}

TEST_P(DeviceFunctions, TensorCoresMultiplyMatrices) {
  const Floats a8 = numbers_for(16 * 8, 1), b8 = numbers_for(8 * 8, 5);
  const Floats a16 = numbers_for(16 * 16, 2), b16 = numbers_for(16 * 8, 9);
  DeviceBuffer<float> c = buffer(128);
  const DeviceBuffer<float> da8 = buffer(a8), db8 = buffer(b8), da16 = buffer(a16), db16 = buffer(b16);
  ASSERT_EQ(outcome(sound::multiply_tf32(stream_, da8.data(), db8.data(), c.data())), "ok");
  EXPECT_EQ(values(c), product(a8, b8, 8));
  ASSERT_EQ(outcome(sound::multiply_bf16(stream_, da16.data(), db16.data(), c.data())), "ok");
  EXPECT_EQ(values(c), product(a16, b16, 16));
}

TEST_P(DeviceFunctions, LdmatrixSpreadsRowsOverLanes) {
  std::vector<uint16_t> elements(4 * 64);
  std::iota(elements.begin(), elements.end(), uint16_t{0});
  const DeviceBuffer<uint16_t> matrices = buffer(elements);
  for (const bool transposed : {false, true}) {
    const DeviceBuffer<uint32_t> registers = buffer(std::vector<uint32_t>(128));
    ASSERT_EQ(outcome(sound::load_matrices(stream_, matrices.data(), transposed, registers.data())), "ok");
    const std::vector<uint32_t> got = values(registers);
    for (uint32_t lane = 0; lane < 32; ++lane) {
      const uint32_t g = lane / 4, t = lane % 4;
      for (uint32_t i = 0; i < 4; ++i) {
        const uint32_t low = i * 64 + (transposed ? 2 * t * 8 + g : g * 8 + 2 * t), step = transposed ? 8 : 1;
        EXPECT_EQ(got[lane * 4 + i], low | (low + step) << 16) << "lane " << lane << " matrix " << i;
      }
    }
  }
}

TEST_P(DeviceFunctions, ShufflesReadTheLaneThatCudaNames) {
  const DeviceBuffer<int> y = buffer(std::vector<int>(256));
  for (const int width : {32, 8}) {
    for (const int argument : {0, 1, 3, 7}) {
      ASSERT_EQ(outcome(sound::shuffles(stream_, argument, width, y.data())), "ok");
      const std::vector<int> got = values(y);
      for (int t = 0; t < 64; ++t) {
        const int begin = t / width * width, within = t % width;
        const auto at = [&](int row) { return got[static_cast<size_t>(row * 64 + t)]; };
        EXPECT_EQ(at(0), begin + argument % width);
        EXPECT_EQ(at(1), within < argument ? t : t - argument);
        EXPECT_EQ(at(2), within + argument >= width ? t : t + argument);
        EXPECT_EQ(at(3), t ^ argument);
      }
    }
  }
}

TEST_P(DeviceFunctions, VotesCountTheWarpOrTheBlock) {
  for (const int kind : {0, 1, 2}) {
    std::vector<int> x(64);
    for (int t = 0; t < 64; ++t) x[static_cast<size_t>(t)] = kind == 0 ? t % 3 == 0 : kind == 1;
    const DeviceBuffer<int> dx = buffer(x), y = buffer(std::vector<int>(384));
    ASSERT_EQ(outcome(sound::votes(stream_, dx.data(), y.data())), "ok");
    const std::vector<int> got = values(y);
    const auto all = std::count(x.begin(), x.end(), 1);
    for (size_t t = 0; t < 64; ++t) {
      uint32_t ballot = 0;
      for (size_t lane = 0; lane < 32; ++lane) ballot |= static_cast<uint32_t>(x[t / 32 * 32 + lane]) << lane;
      EXPECT_EQ(static_cast<uint32_t>(got[t]), ballot);
      EXPECT_EQ(got[64 + t], ballot != 0);
      EXPECT_EQ(got[128 + t], ballot == ~0u);
      EXPECT_EQ(got[192 + t], all);
      EXPECT_EQ(got[256 + t], all == 64);
      EXPECT_EQ(got[320 + t], all > 0);
    }
  }
}

TEST_P(DeviceFunctions, ReductionsReachEveryThread) {
  for (const unsigned threads : {32u, 96u, 1024u}) {
    const Floats x = numbers_for(threads, 3);
    const DeviceBuffer<float> dx = buffer(x), y = buffer(2 * size_t{threads});
    ASSERT_EQ(outcome(sound::reductions(stream_, dx.data(), threads, y.data())), "ok");
    const Floats got = values(y);
    EXPECT_THAT(Floats(got.begin(), got.begin() + threads), Each(std::accumulate(x.begin(), x.end(), 0.0f)));
    EXPECT_THAT(Floats(got.begin() + threads, got.end()), Each(*std::max_element(x.begin(), x.end())));
  }
}

TEST_P(DeviceFunctions, MaximumKeepsNan) {
  Floats x(64, 1.0f);
  x[37] = std::nanf("");
  const DeviceBuffer<float> dx = buffer(x), y = buffer(128);
  ASSERT_EQ(outcome(sound::reductions(stream_, dx.data(), 64, y.data())), "ok");
  for (const float value : values(y)) EXPECT_TRUE(std::isnan(value));
}

TEST_P(DeviceFunctions, ProductIsTheSumOfItsChunksInOrder) {
  constexpr int kM = 5, kN = 8, kK = 40, kChunk = 16, kChunks = 3;
  const DeviceBuffer<float> a = buffer(fill_cancelling(kM * kK, 1)), b = buffer(fill_cancelling(kK * kN, 2));
  DeviceBuffer<float> c = buffer(kM * kN), partial = buffer(kChunks * kM * kN);
  ASSERT_EQ(outcome(sound::product_in_chunks(stream_, a.data(), b.data(), kM, kN, kK, kChunk, c.data(), nullptr)),
            "ok");
  ASSERT_EQ(
      outcome(sound::product_in_chunks(stream_, a.data(), b.data(), kM, kN, kK, kChunk, c.data(), partial.data())),
      "ok");
  const Floats sums = values(partial);
  Floats expected(sums.begin(), sums.begin() + kM * kN);
  for (size_t i = kM * kN; i < sums.size(); ++i) expected[i % (kM * kN)] += sums[i];
  EXPECT_EQ(values(c), expected);
}

// Subtrees of 4, 1 and 2 slices, next to each other; results apart, with what lies between untouched.
TEST_P(DeviceFunctions, SlicesAreSummedSubtreeBySubtree) {
  const std::vector<int> subtrees{4, 1, 2};
  for (const auto& [size, stride, out_stride] : {std::array{1, 1, 1}, {10, 11, 12}, {10, 12, 13}, {1029, 1032, 1032}}) {
    SCOPED_TRACE(stride);
    const Floats slices = numbers_for(static_cast<size_t>(7 * stride), 4);
    Floats expected(static_cast<size_t>(3 * out_stride), -1.0f);
    int slice = 0;
    for (int t = 0; t < 3; ++t) {
      for (int i = 0; i < size; ++i) {
        float& sum = expected[static_cast<size_t>(t * out_stride + i)] = 0;
        for (int s = 0; s < subtrees[static_cast<size_t>(t)]; ++s) {
          sum += slices[static_cast<size_t>((slice + s) * stride + i)];
        }
      }
      slice += subtrees[static_cast<size_t>(t)];
    }
    const DeviceBuffer<float> from = buffer(slices);
    DeviceBuffer<float> to = buffer(Floats(expected.size(), -1.0f));
    DeviceContext device;
    device.stream = stream_;
    const KernelContext ctx{.backend = Backend::kCuda, .device = &device};
    ASSERT_EQ(outcome(sound::sum_slices(ctx, subtrees, from.data(), stride, size, {to.data(), out_stride})), "ok");
    EXPECT_EQ(values(to), expected);
  }
}

TEST_P(DeviceFunctions, EveryThreadOfAThreeDimensionalGridRunsOnce) {
  const DeviceBuffer<int> y = buffer(std::vector<int>(12 * 32, -1));
  ASSERT_EQ(outcome(sound::numbers(stream_, y.data())), "ok");
  std::vector<int> expected(12 * 32);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(values(y), expected);
}

TEST_P(DeviceFunctions, AtomicAdditionsDoNotRace) {
  const DeviceBuffer<unsigned> x = buffer(std::vector<unsigned>{5});
  ASSERT_EQ(outcome(sound::count(stream_, x.data())), "ok");
  EXPECT_EQ(values(x)[0], 101u);
}

TEST(Conversions, Tf32RoundsToTheNearestAndTiesAway) {
  const auto tf32 = [](float x) { return std::bit_cast<float>(emu::to_tf32(x)); };
  EXPECT_EQ(tf32(1.0f), 1.0f);
  EXPECT_EQ(tf32(1 + 0x1p-11f), 1 + 0x1p-10f);  // half way
  EXPECT_EQ(tf32(-1 - 0x1p-11f), -1 - 0x1p-10f);
  EXPECT_EQ(tf32(1 + 0x1p-11f - 0x1p-20f), 1.0f);
  EXPECT_EQ(tf32(std::numeric_limits<float>::infinity()), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(tf32(std::nanf(""))));
}

TEST(Conversions, Bf16RoundsToTheNearestAndTiesToEven) {
  const auto bf16 = [](float x) { return std::bit_cast<float>(emu::to_bf16(x) << 16); };
  EXPECT_EQ(bf16(1.0f), 1.0f);
  EXPECT_EQ(bf16(1 + 0x1p-8f), 1.0f);  // half way to 1 + 2^-7
  EXPECT_EQ(bf16(1 + 3 * 0x1p-8f), 1 + 0x1p-6f);
  EXPECT_EQ(bf16(1 + 0x1p-8f + 0x1p-20f), 1 + 0x1p-7f);
  EXPECT_EQ(bf16(-std::numeric_limits<float>::infinity()), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(bf16(std::bit_cast<float>(0x7f800001u))));
}

TEST(ThreadOrder, IsParsed) {
  EXPECT_EQ(emu::parse_thread_order("ascending")->kind, emu::Order::kAscending);
  EXPECT_EQ(emu::parse_thread_order("descending")->kind, emu::Order::kDescending);
  EXPECT_EQ(emu::parse_thread_order("123")->kind, emu::Order::kSeeded);
  EXPECT_EQ(emu::parse_thread_order("123")->seed, 123u);
  EXPECT_THAT(std::string(emu::parse_thread_order("sideways").status().message()),
              ::testing::HasSubstr("`sideways`: expected ascending, descending or a number"));
}

}  // namespace
}  // namespace lockstep
