// SPDX-License-Identifier: Apache-2.0
#include "kernels/adam/adam.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/kernels/misaligned.h"
#include "tests/kernels/on_backends.h"
#include "tests/support/fill.h"
#include "tests/support/guarded.h"

namespace lockstep {
namespace {

using ::testing::Each;
using Floats = std::vector<float>;

struct State {
  Floats m, v, w;
  bool operator==(const State&) const = default;
};

absl::Status step(const KernelContext& ctx, const AdamParams& p, const std::vector<GradTerm>& terms, State& state) {
  return adam_update(ctx, p, static_cast<int64_t>(state.w.size()), terms, state.m.data(), state.v.data(),
                     state.w.data());
}

State random_state(int64_t size) {
  return {fill_uniform(size, 1), absolute(fill_uniform(size, 2)), fill_uniform(size, 3)};
}

class Adam : public OnBackends {};
LOCKSTEP_ON_ALL_BACKENDS(Adam);

TEST_P(Adam, HandWorkedExample) {
  const AdamParams p{
      .learning_rate = 0.25f, .beta1 = 0.5f, .beta2 = 0.75f, .epsilon = 1, .beta1_power = 0.5f, .beta2_power = 0.75f};
  State state{{0}, {0}, {1}};
  const Floats grad{2};
  ASSERT_TRUE(step(ctx(), p, {{grad.data(), 1}}, state).ok());
  EXPECT_EQ(state.m[0], 1);       // 0 + (2 - 0) * 0.5
  EXPECT_EQ(state.v[0], 1);       // 0 + (4 - 0) * 0.25
  EXPECT_EQ(state.w[0], 0.875f);  // 1 - 0.25 * sqrt(0.25) / 0.5 * 1 / (sqrt(1) + 1)
}

TEST_P(Adam, FirstStepIsTheLearningRateAgainstTheGradient) {
  const Floats grad = fill_cancelling(37, 1);
  State state{Floats(37), Floats(37), Floats(37)};
  ASSERT_TRUE(step(ctx(), {.learning_rate = 0.01f}, {{grad.data(), 1}}, state).ok());
  for (size_t i = 0; i < 37; ++i) EXPECT_NEAR(state.w[i], grad[i] > 0 ? -0.01 : 0.01, 1e-6) << "gradient " << grad[i];
}

TEST_P(Adam, WithoutGradientAndMomentsNothingMoves) {
  const Floats grad(21), w = fill_uniform(21, 1);
  State state{Floats(21), Floats(21), w};
  ASSERT_TRUE(step(ctx(), {}, {{grad.data(), 1}}, state).ok());
  EXPECT_EQ(state, (State{Floats(21), Floats(21), w}));
}

TEST_P(Adam, AnySplitOfTheRangeGivesTheSameBits) {
  constexpr int64_t kSize = 2003;
  const Floats a = fill_cancelling(kSize, 4), b = fill_cancelling(kSize, 5);
  State expected = random_state(kSize), got = expected;
  ASSERT_TRUE(step(ctx(), {}, {{a.data(), 1}, {b.data(), 1}}, expected).ok());
  for (const auto& [begin, end] : {std::pair{0, 1}, {1, 18}, {18, 1000}, {1000, 1000}, {1000, 2003}}) {
    const std::vector<GradTerm> terms{{a.data() + begin, 1}, {b.data() + begin, 1}};
    ASSERT_TRUE(
        adam_update(ctx(), {}, end - begin, terms, got.m.data() + begin, got.v.data() + begin, got.w.data() + begin)
            .ok());
  }
  EXPECT_EQ(got, expected);
}

// Whoever adds the partial sums, the bits are the same: here the terms of 1, 2, 3 and 8 ranks.
TEST_P(Adam, TermsOfAnyNumberOfRanksGiveTheSameBits) {
  constexpr int64_t kSize = 1031;
  std::vector<Floats> slices;
  for (uint64_t s = 0; s < 8; ++s) slices.push_back(fill_cancelling(kSize, 10 + s));
  const auto sum = [&](const Floats& left, const Floats& right) {
    Floats result = left;
    for (size_t i = 0; i < result.size(); ++i) result[i] += right[i];
    return result;
  };
  const Floats s01 = sum(slices[0], slices[1]), s23 = sum(slices[2], slices[3]);
  const Floats s45 = sum(slices[4], slices[5]), s67 = sum(slices[6], slices[7]);
  const Floats s03 = sum(s01, s23), s47 = sum(s45, s67), all = sum(s03, s47);
  State expected = random_state(kSize);
  const State start = expected;
  ASSERT_TRUE(step(ctx(), {}, {{all.data(), 8}}, expected).ok());
  std::vector<std::vector<GradTerm>> splits{
      {{s03.data(), 4}, {s47.data(), 4}},
      // Three ranks own slices 0-1, 2-4, 5-7.
      {{s01.data(), 2}, {s23.data(), 2}, {slices[4].data(), 1}, {slices[5].data(), 1}, {s67.data(), 2}},
      {}};
  for (const Floats& slice : slices) splits.back().push_back({slice.data(), 1});
  for (const auto& terms : splits) {
    State got = start;
    ASSERT_TRUE(step(ctx(), {}, terms, got).ok());
    EXPECT_EQ(got, expected) << terms.size() << " terms";
  }
}

// More elements than a block has threads, as without a common alignment a thread has one.
TEST_P(Adam, ArraysMayLieAnywhere) {
  constexpr int64_t kSize = 523;
  const Floats a = fill_cancelling(kSize, 4), b = fill_cancelling(kSize, 5);
  const State start = random_state(kSize);
  expect_same_wherever_an_array_lies(5, [&](const Misalignment& off) {
    const Guarded<float> left(a, off[0]), right(b, off[1]);
    Guarded<float> m(start.m, off[2]), v(start.v, off[3]), w(start.w, off[4]);
    const std::vector<GradTerm> terms{{left.data(), 1}, {right.data(), 1}};
    EXPECT_TRUE(adam_update(ctx(), {}, kSize, terms, m.data(), v.data(), w.data()).ok());
    return std::vector<Floats>{m.values(), v.values(), w.values()};
  });
}

TEST_P(Adam, NonFiniteGradientStaysInItsElement) {
  for (const float bad : {std::nanf(""), HUGE_VALF}) {
    Floats grad = fill_uniform(35, 1);
    grad[17] = bad;
    State state = random_state(35);
    ASSERT_TRUE(step(ctx(), {}, {{grad.data(), 1}}, state).ok());
    for (size_t i = 0; i < 35; ++i) EXPECT_EQ(std::isfinite(state.w[i]), i != 17) << i;
  }
}

TEST_P(Adam, RejectsTermsThatAreNotATree) {
  const Floats grad(3);
  const auto rejected = [&](const std::vector<int>& sizes) {
    std::vector<GradTerm> terms;
    for (const int size : sizes) terms.push_back({grad.data(), size});
    State state{Floats(3, 1.0f), Floats(3, 1.0f), Floats(3, 1.0f)};
    const State before = state;
    return absl::IsInvalidArgument(step(ctx(), {}, terms, state)) && state == before;
  };
  EXPECT_TRUE(rejected({}));
  EXPECT_TRUE(rejected({3}));        // not a power of two
  EXPECT_TRUE(rejected({0}));        // nor is this
  EXPECT_TRUE(rejected({-1}));       // nor this
  EXPECT_TRUE(rejected({1, 2, 1}));  // slices 1 and 2 are no subtree
  EXPECT_TRUE(rejected({2, 1}));     // slice 3 is missing
  EXPECT_TRUE(absl::IsInvalidArgument(
      adam_update(ctx(), {}, -1, std::vector<GradTerm>{{grad.data(), 1}}, nullptr, nullptr, nullptr)));
}

}  // namespace
}  // namespace lockstep
