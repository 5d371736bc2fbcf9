// SPDX-License-Identifier: Apache-2.0
#include "kernels/pool2d/pool2d.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tests/kernels/misaligned.h"
#include "tests/kernels/on_backends.h"
#include "tests/support/fill.h"
#include "tests/support/grad_check.h"
#include "tests/support/guarded.h"
#include "tests/support/kernel_case.h"

namespace lockstep {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using Floats = std::vector<float>;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

int64_t in_size(const Pool2dParams& p) { return p.N * p.H * p.W * p.C; }
int64_t out_size(const Pool2dParams& p) { return p.N * p.OH() * p.OW() * p.C; }

struct Pooled {
  Floats y;
  std::vector<uint8_t> argmax;
};

Pooled forward(const KernelContext& ctx, const Pool2dParams& p, const Floats& x) {
  Pooled pooled{Floats(static_cast<size_t>(out_size(p))), std::vector<uint8_t>(static_cast<size_t>(out_size(p)))};
  EXPECT_TRUE(pool2d_max_fwd(ctx, p, x.data(), pooled.y.data(), pooled.argmax.data()).ok());
  return pooled;
}

Floats backward(const KernelContext& ctx, const Pool2dParams& p, const std::vector<uint8_t>& argmax,
                const Floats& grad_y) {
  Floats grad_x(static_cast<size_t>(in_size(p)), 9.0f);
  EXPECT_TRUE(pool2d_max_bwd(ctx, p, argmax.data(), grad_y.data(), grad_x.data()).ok());
  return grad_x;
}

class Pool2d : public OnBackends {};
LOCKSTEP_ON_ALL_BACKENDS(Pool2d);

TEST_P(Pool2d, HandWorkedExample) {
  const Pool2dParams p{.N = 1, .H = 2, .W = 4, .C = 1};
  const Pooled pooled = forward(ctx(), p,
                                {1, 2, 8, 7,  //
                                 4, 3, 5, 6});
  EXPECT_THAT(pooled.y, ElementsAre(4, 8));
  EXPECT_THAT(pooled.argmax, ElementsAre(2, 0));
  EXPECT_THAT(backward(ctx(), p, pooled.argmax, {10, 20}), ElementsAre(0, 0, 20, 0, 10, 0, 0, 0));
}

TEST_P(Pool2d, ChannelsAreIndependent) {
  const Pool2dParams p{.N = 1, .H = 2, .W = 2, .C = 3};
  const Pooled pooled = forward(ctx(), p, {1, 2, 3, 9, 0, 3, 4, 8, 3, 2, 1, 3});
  EXPECT_THAT(pooled.y, ElementsAre(9, 8, 3));
  EXPECT_THAT(pooled.argmax, ElementsAre(1, 2, 0));
}

TEST_P(Pool2d, OverlappingWindowsAddTheirGradients) {
  const Pool2dParams p{.N = 1, .H = 3, .W = 3, .C = 1, .window = 2, .stride = 1};
  const Pooled pooled = forward(ctx(), p, {0, 0, 0, 0, 5, 0, 0, 0, 0});
  EXPECT_THAT(pooled.argmax, ElementsAre(3, 2, 1, 0));
  EXPECT_THAT(backward(ctx(), p, pooled.argmax, {1, 2, 3, 4}), ElementsAre(0, 0, 0, 0, 10, 0, 0, 0, 0));
}

TEST_P(Pool2d, ConstantImageGivesTheConstantAndTheFirstPosition) {
  const Pool2dParams p{.N = 2, .H = 7, .W = 6, .C = 19, .window = 3, .stride = 2};
  const Pooled pooled = forward(ctx(), p, Floats(static_cast<size_t>(in_size(p)), -2.5f));
  EXPECT_THAT(pooled.y, Each(-2.5f));
  EXPECT_THAT(pooled.argmax, Each(0));
}

TEST_P(Pool2d, PaddingNeverWins) {
  const Pool2dParams p{.N = 1, .H = 3, .W = 3, .C = 1, .window = 3, .stride = 2, .padding = Padding::kSame};
  const Pooled pooled = forward(ctx(), p, {-1, -2, -3, -4, -5, -6, -7, -8, -9});
  EXPECT_THAT(pooled.y, ElementsAre(-1, -2, -4, -5));
  EXPECT_THAT(pooled.argmax, ElementsAre(4, 3, 1, 0));  // the first row and column of the first window are padding
}

TEST_P(Pool2d, MinusInfinityIsANumberLikeOthers) {
  const Pool2dParams p{.N = 1, .H = 2, .W = 2, .C = 1};
  const Pooled all = forward(ctx(), p, {-kInf, -kInf, -kInf, -kInf});
  EXPECT_EQ(all.y[0], -kInf);
  EXPECT_EQ(all.argmax[0], 0);
  const Pooled one = forward(ctx(), p, {-kInf, -kInf, -1e38f, -kInf});
  EXPECT_EQ(one.y[0], -1e38f);
  EXPECT_EQ(one.argmax[0], 2);
}

TEST_P(Pool2d, FirstNanOfAWindowWins) {
  const Pool2dParams p{.N = 1, .H = 2, .W = 2, .C = 1};
  const Pooled pooled = forward(ctx(), p, {1, kNan, kNan, 2});
  EXPECT_TRUE(std::isnan(pooled.y[0]));
  EXPECT_EQ(pooled.argmax[0], 1);
}

TEST_P(Pool2d, ArraysMayLieAnywhere) {
  // Windows that tile the image, and others.
  for (const Pool2dParams& p : {Pool2dParams{.N = 2, .H = 4, .W = 6, .C = 8},
                                Pool2dParams{.N = 2, .H = 5, .W = 7, .C = 8, .window = 3, .stride = 2}}) {
    SCOPED_TRACE(p.window);
    const Floats x_values = fill_uniform(in_size(p), 1), grad_values = fill_uniform(out_size(p), 2);
    const std::vector<uint8_t> winners = forward(ctx(), p, x_values).argmax;
    expect_same_wherever_an_array_lies(6, [&](const Misalignment& off) {
      const Guarded<float> x(x_values, off[0]), grad_y(grad_values, off[1]);
      const Guarded<uint8_t> from(winners, off[2]);
      Guarded<float> y(out_size(p), off[3]), grad_x(in_size(p), off[4]);
      Guarded<uint8_t> argmax(out_size(p), off[5]);
      EXPECT_TRUE(pool2d_max_fwd(ctx(), p, x.data(), y.data(), argmax.data()).ok());
      EXPECT_TRUE(pool2d_max_bwd(ctx(), p, from.data(), grad_y.data(), grad_x.data()).ok());
      return std::vector<Floats>{y.values(), {argmax.span().begin(), argmax.span().end()}, grad_x.values()};
    });
  }
}

TEST_P(Pool2d, RejectsSizesThatMakeNoSense) {
  const Pool2dParams good{.N = 1, .H = 4, .W = 4, .C = 1};
  const auto rejected = [&](auto change) {
    Pool2dParams p = good;
    change(p);
    return absl::IsInvalidArgument(pool2d_max_fwd(ctx(), p, nullptr, nullptr, nullptr)) &&
           absl::IsInvalidArgument(pool2d_max_bwd(ctx(), p, nullptr, nullptr, nullptr));
  };
  EXPECT_TRUE(rejected([](Pool2dParams& p) { p.N = -1; }));
  EXPECT_TRUE(rejected([](Pool2dParams& p) { p.H = 0; }));
  EXPECT_TRUE(rejected([](Pool2dParams& p) { p.C = 0; }));
  EXPECT_TRUE(rejected([](Pool2dParams& p) { p.window = 0; }));
  EXPECT_TRUE(rejected([](Pool2dParams& p) { p.stride = 0; }));
  EXPECT_TRUE(rejected([](Pool2dParams& p) { p.window = 5; }));
  EXPECT_TRUE(rejected([](Pool2dParams& p) { p.H = p.W = p.window = 17; }));  // argmax would not fit a byte
}

class Pool2dGradient : public ::testing::TestWithParam<Pool2dCase> {};

std::vector<Pool2dCase> small_pool2d_cases() {
  std::vector<Pool2dCase> cases = pool2d_cases();
  std::erase_if(cases, [](const Pool2dCase& c) { return in_size(c.p) > 3000 || c.p.N == 0; });
  return cases;
}

// Values are one apart, so a quarter step changes no maximum.
TEST_P(Pool2dGradient, MatchesCentralDifferences) {
  const Pool2dParams p = GetParam().p;
  const KernelContext ref{Backend::kRef};
  Floats x = fill_distinct(in_size(p), 1);
  for (float& value : x) value = std::round(value * static_cast<float>(in_size(p)) / 2);
  const Floats weights = fill_grid(out_size(p), 2);
  const Floats grad_x = backward(ref, p, forward(ref, p, x).argmax, weights);
  const auto loss = [&] { return weighted_sum(weights, forward(ref, p, x).y); };
  EXPECT_TRUE(gradient_matches(x, grad_x, loss, {.what = "grad_x", .step = 0.25, .tolerance = 1e-6}));
}

std::string case_name(const ::testing::TestParamInfo<Pool2dCase>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Cases, Pool2dGradient, ::testing::ValuesIn(small_pool2d_cases()), case_name);

}  // namespace
}  // namespace lockstep
