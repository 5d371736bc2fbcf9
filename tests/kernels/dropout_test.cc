// SPDX-License-Identifier: Apache-2.0
#include "kernels/dropout/dropout.h"

#include <gmock/gmock.h>

#include <cmath>

#include "core/base/rng.h"
#include "tests/kernels/misaligned.h"
#include "tests/kernels/on_backends.h"
#include "tests/support/fill.h"
#include "tests/support/guarded.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using Floats = std::vector<float>;

Floats forward(const KernelContext& ctx, const DropoutParams& p, const Floats& x) {
  Floats y(x.size());
  EXPECT_TRUE(dropout_fwd(ctx, p, x.data(), y.data()).ok());
  return y;
}

// Ones where units are kept.
Floats mask(const KernelContext& ctx, const DropoutParams& p) {
  Floats y = forward(ctx, p, Floats(static_cast<size_t>(p.N * p.units), 1.0f));
  for (float& value : y) value = value != 0 ? 1.0f : 0.0f;
  return y;
}

class Dropout : public OnBackends {};
LOCKSTEP_ON_ALL_BACKENDS(Dropout);

TEST_P(Dropout, HandWorkedExample) {
  const DropoutParams p{.N = 1, .units = 6, .rate = 0.5f, .seed = 11, .step = 3, .layer = 2, .first_example = 5};
  const RngStream stream(11, RngPurpose::kDropout, 3, 5);
  Floats expected;
  for (uint32_t u = 0; u < 6; ++u) expected.push_back(stream.uniform((2u << 24) + u) < 0.5f ? 0 : 2.0f * (u + 1.0f));
  EXPECT_EQ(forward(ctx(), p, {1, 2, 3, 4, 5, 6}), expected);
}

TEST_P(Dropout, KeepsTheExpectedFraction) {
  const DropoutParams p{.N = 50, .units = 1000, .rate = 0.4f, .seed = 1};
  double kept = 0;
  for (const float value : mask(ctx(), p)) kept += value;
  // Five standard deviations of 50,000 draws.
  EXPECT_NEAR(kept / 50000, 0.6, 5 * std::sqrt(0.4 * 0.6 / 50000));
}

TEST_P(Dropout, ForwardAndBackwardDropTheSameUnits) {
  const DropoutParams p{.N = 3, .units = 77, .rate = 0.4f, .seed = 1, .step = 9};
  const Floats x = fill_uniform(3 * 77, 1, 0.5f, 1);
  Floats grad_x(x.size());
  EXPECT_TRUE(dropout_bwd(ctx(), p, x.data(), grad_x.data()).ok());
  EXPECT_EQ(forward(ctx(), p, x), grad_x);
}

TEST_P(Dropout, SameKeyDropsTheSameUnitsAndAnyOtherKeyOthers) {
  const DropoutParams p{.N = 2, .units = 200, .rate = 0.5f, .seed = 1, .step = 2, .layer = 3, .first_example = 4};
  const Floats expected = mask(ctx(), p);
  EXPECT_EQ(mask(ctx(), p), expected);
  const auto changed = [&](auto change) {
    DropoutParams other = p;
    change(other);
    return mask(ctx(), other) != expected;
  };
  EXPECT_TRUE(changed([](DropoutParams& o) { o.seed = 2; }));
  EXPECT_TRUE(changed([](DropoutParams& o) { o.seed += uint64_t{1} << 40; }));
  EXPECT_TRUE(changed([](DropoutParams& o) { o.step = 3; }));
  EXPECT_TRUE(changed([](DropoutParams& o) { o.step += uint64_t{1} << 40; }));
  EXPECT_TRUE(changed([](DropoutParams& o) { o.layer = 4; }));
  EXPECT_TRUE(changed([](DropoutParams& o) { o.first_example = 5; }));
}

TEST_P(Dropout, MaskFollowsTheExampleThroughTheBatch) {
  const DropoutParams batch{.N = 7, .units = 45, .rate = 0.4f, .seed = 1};
  const Floats expected = mask(ctx(), batch);
  DropoutParams part = batch;
  part.N = 3;
  part.first_example = 4;
  EXPECT_EQ(mask(ctx(), part), Floats(expected.begin() + 4 * 45, expected.end()));
}

TEST_P(Dropout, RateZeroIsTheIdentity) {
  const Floats x = fill_cancelling(3 * 35, 1);
  EXPECT_EQ(forward(ctx(), {.N = 3, .units = 35, .rate = 0}, x), x);
}

TEST_P(Dropout, WorksInPlace) {
  const DropoutParams p{.N = 3, .units = 35, .rate = 0.4f, .seed = 1};
  Floats x = fill_uniform(3 * 35, 1);
  const Floats expected = forward(ctx(), p, x);
  EXPECT_TRUE(dropout_fwd(ctx(), p, x.data(), x.data()).ok());
  EXPECT_EQ(x, expected);
}

TEST_P(Dropout, ArraysMayLieAnywhere) {
  const DropoutParams p{.N = 3, .units = 36, .rate = 0.4f, .seed = 1};
  const Floats values = fill_uniform(3 * 36, 1);
  expect_same_wherever_an_array_lies(2, [&](const Misalignment& off) {
    const Guarded<float> x(values, off[0]);
    Guarded<float> y(3 * 36, off[1]);
    EXPECT_TRUE(dropout_fwd(ctx(), p, x.data(), y.data()).ok());
    return std::vector<Floats>{y.values()};
  });
}

TEST_P(Dropout, DroppedNanIsZeroAndKeptNanStays) {
  const DropoutParams p{.N = 1, .units = 100, .rate = 0.5f, .seed = 1};
  const Floats kept = mask(ctx(), p);
  const Floats y = forward(ctx(), p, Floats(100, std::nanf("")));
  for (size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(std::isnan(y[i]), kept[i] != 0) << "unit " << i;
    if (kept[i] == 0) {
      EXPECT_EQ(y[i], 0) << "unit " << i;
    }
  }
}

TEST_P(Dropout, RejectsParametersOutOfRange) {
  for (const DropoutParams& p :
       {DropoutParams{.N = -1, .units = 1}, DropoutParams{.N = 1, .units = -1},
        DropoutParams{.N = 1, .units = 1, .rate = 1}, DropoutParams{.N = 1, .units = 1, .rate = -0.1f},
        DropoutParams{.N = 1, .units = 1, .rate = std::nanf("")}, DropoutParams{.N = 1, .units = (1 << 24) + 1},
        DropoutParams{.N = 1, .units = 1, .layer = 256}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(dropout_fwd(ctx(), p, nullptr, nullptr)));
    EXPECT_TRUE(absl::IsInvalidArgument(dropout_bwd(ctx(), p, nullptr, nullptr)));
  }
}

}  // namespace
}  // namespace lockstep
