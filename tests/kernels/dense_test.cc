// SPDX-License-Identifier: Apache-2.0
#include "kernels/dense/dense.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tests/kernels/misaligned.h"
#include "tests/kernels/on_backends.h"
#include "tests/kernels/rank_sums.h"
#include "tests/support/compare.h"
#include "tests/support/fill.h"
#include "tests/support/grad_check.h"
#include "tests/support/guarded.h"
#include "tests/support/kernel_case.h"

namespace lockstep {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using Floats = std::vector<float>;

Floats forward(const KernelContext& ctx, const DenseParams& p, const Floats& x, const Floats& w, const Floats& b) {
  Floats y(static_cast<size_t>(p.N * p.O));
  EXPECT_TRUE(dense_fwd(ctx, p, x.data(), w.data(), b.data(), y.data()).ok());
  return y;
}

struct Gradients {
  Floats x, w, b;
};

Gradients backward(const KernelContext& ctx, const DenseParams& p, const Floats& x, const Floats& w, const Floats& y,
                   const Floats& grad_y) {
  Gradients grad{Floats(x.size()), Floats(w.size()), Floats(static_cast<size_t>(p.O))};
  EXPECT_TRUE(dense_bwd_data(ctx, p, w.data(), y.data(), grad_y.data(), grad.x.data()).ok());
  EXPECT_TRUE(dense_bwd_filter(ctx, p, GradSlices::single(p.N), x.data(), y.data(), grad_y.data(),
                               {grad.w.data(), int64_t{p.I} * p.O}, {grad.b.data(), p.O})
                  .ok());
  return grad;
}

class Dense : public OnBackends {};
LOCKSTEP_ON_ALL_BACKENDS(Dense);

// The oracle has no parallel loops that would count, and takes seconds for a layer.
TEST(DenseReference, EveryExampleIsASignOfLife) {
  ThreadPool pool(1);
  const KernelContext ctx{.backend = Backend::kRef, .pool = &pool};
  const DenseParams p{.N = 5, .I = 2, .O = 1};
  const Floats x(10, 1.0f), w(2, 1.0f), b(1);
  const Floats y = forward(ctx, p, x, w, b);
  EXPECT_EQ(pool.tasks_done(), 5u);
  backward(ctx, p, x, w, y, y);
  EXPECT_EQ(pool.tasks_done(), 15u);
}

TEST_P(Dense, HandWorkedForward) {
  const DenseParams p{.N = 2, .I = 2, .O = 3};
  EXPECT_THAT(forward(ctx(), p, {1, 2, 3, 4}, {1, 2, 3, 4, 5, 6}, {0, 100, 200}),
              ElementsAre(9, 112, 215, 19, 126, 233));
}

TEST_P(Dense, HandWorkedBackward) {
  const DenseParams p{.N = 2, .I = 2, .O = 3};
  const Gradients grad = backward(ctx(), p, {1, 2, 3, 4}, {1, 2, 3, 4, 5, 6}, Floats(6), {1, 0, 2, 0, 1, 0});
  EXPECT_THAT(grad.x, ElementsAre(1 + 6, 4 + 12, 2, 5));
  EXPECT_THAT(grad.w, ElementsAre(1, 3, 2, 2, 4, 4));
  EXPECT_THAT(grad.b, ElementsAre(1, 1, 2));
}

TEST_P(Dense, ReluClampsForwardAndMasksBackward) {
  const DenseParams p{.N = 1, .I = 1, .O = 3, .relu = true};
  const Floats x{2}, w{1, -1, 0};
  const Floats y = forward(ctx(), p, x, w, Floats(3));
  EXPECT_THAT(y, ElementsAre(2, 0, 0));
  const Gradients grad = backward(ctx(), p, x, w, y, {5, 7, 9});
  EXPECT_THAT(grad.x, ElementsAre(5));
  EXPECT_THAT(grad.w, ElementsAre(10, 0, 0));
  EXPECT_THAT(grad.b, ElementsAre(5, 0, 0));
}

TEST_P(Dense, UnitMatrixCopiesTheInput) {
  const DenseParams p{.N = 5, .I = 19, .O = 19};
  Floats w(19 * 19);
  for (size_t i = 0; i < 19; ++i) w[i * 20] = 1;
  const Floats x = fill_uniform(p.N * p.I, 1);
  EXPECT_EQ(forward(ctx(), p, x, w, Floats(19)), x);
}

TEST_P(Dense, NanStaysInItsRow) {
  const DenseParams p{.N = 4, .I = 7, .O = 18, .relu = true};
  Floats x = fill_uniform(p.N * p.I, 1);
  x[2 * 7 + 3] = std::nanf("");
  const Floats y = forward(ctx(), p, x, fill_uniform(7 * 18, 2), Floats(18));
  for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i / 18 == 2) << "output " << i;
}

TEST_P(Dense, ExampleDoesNotDependOnItsNeighbours) {
  const DenseParams batch{.N = 9, .I = 37, .O = 21, .relu = true};
  DenseParams single = batch;
  single.N = 1;
  const Floats x = fill_cancelling(9 * 37, 1), w = fill_uniform(37 * 21, 2), b = fill_uniform(21, 3);
  const Floats grad_y = fill_cancelling(9 * 21, 4);
  const Floats y = forward(ctx(), batch, x, w, b);
  const Floats grad_x = backward(ctx(), batch, x, w, y, grad_y).x;
  for (int64_t n = 0; n < batch.N; ++n) {
    const auto part = [n](const Floats& all, int64_t size) {
      return Floats(all.begin() + n * size, all.begin() + (n + 1) * size);
    };
    EXPECT_EQ(forward(ctx(), single, part(x, 37), w, b), part(y, 21));
    EXPECT_EQ(backward(ctx(), single, part(x, 37), w, part(y, 21), part(grad_y, 21)).x, part(grad_x, 37));
  }
}

class DenseAnyPrecision : public OnBackends {};
INSTANTIATE_TEST_SUITE_P(Backends, DenseAnyPrecision, ::testing::ValuesIn(own_kernels()), backend_test_name);

// Enough outputs, or inputs, for a GPU to choose large tiles, which one example alone does not fill.
TEST_P(DenseAnyPrecision, ExampleDoesNotDependOnTheSizeOfTheBatch) {
  const auto example = [](const Floats& all, int64_t n, int64_t size) {
    return Floats(all.begin() + n * size, all.begin() + (n + 1) * size);
  };
  const DenseParams wide{.N = 129, .I = 16, .O = 8196, .relu = true}, deep{.N = 129, .I = 8196, .O = 20};
  const Floats x = fill_uniform(wide.N * wide.I, 1), w = fill_uniform(int64_t{wide.I} * wide.O, 2);
  const Floats b = fill_uniform(wide.O, 3), y = forward(ctx(), wide, x, w, b);
  const Floats deep_w = fill_uniform(int64_t{deep.I} * deep.O, 4), grad_y = fill_uniform(deep.N * deep.O, 5);
  const auto grad_x = [&](const DenseParams& p, const Floats& grad) {
    Floats result(static_cast<size_t>(p.N * p.I));
    EXPECT_TRUE(dense_bwd_data(ctx(), p, deep_w.data(), grad.data(), grad.data(), result.data()).ok());
    return result;
  };
  const Floats deep_x = grad_x(deep, grad_y);
  for (const int64_t n : {0, 77, 128}) {
    DenseParams one = wide, one_deep = deep;
    one.N = one_deep.N = 1;
    EXPECT_EQ(forward(ctx(), one, example(x, n, wide.I), w, b), example(y, n, wide.O));
    EXPECT_EQ(grad_x(one_deep, example(grad_y, n, deep.O)), example(deep_x, n, deep.I));
  }
}

TEST_P(Dense, PartialSumsOfAnyNumberOfRanksMakeTheSameGradient) {
  for (const int slices : {8, 16}) {
    for (const int64_t batch : {3, 16, 53}) {  // slices are empty, of one size, of two sizes
      const DenseParams p{.N = batch, .I = 15, .O = 35, .relu = true};
      const Floats x = fill_cancelling(batch * p.I, 1), grad_y = fill_cancelling(batch * p.O, 2);
      const Floats y = fill_uniform(batch * p.O, 3);
      const RankGradient gradient = [&](const GradSlices& local_slices, int64_t first) {
        DenseParams local = p;
        local.N = local_slices.examples();
        PartialBuffer grad_w(local_slices, int64_t{p.I} * p.O), grad_b(local_slices, p.O);
        EXPECT_TRUE(dense_bwd_filter(ctx(), local, local_slices, x.data() + first * p.I, y.data() + first * p.O,
                                     grad_y.data() + first * p.O, grad_w.output(), grad_b.output())
                        .ok());
        return grad_w.joined_with(grad_b);
      };
      const Floats expected = RankSums(1, slices, batch, gradient).total();
      for (const int ranks : {2, 3, 4, 5, 8}) {
        const CompareContext context{"grad",
                                     {},
                                     "batch " + std::to_string(batch) + " on " + std::to_string(ranks) + " ranks",
                                     GetParam().name,
                                     1};
        EXPECT_TRUE(same_bits(expected, RankSums(ranks, slices, batch, gradient).total(), context));
      }
    }
  }
}

TEST_P(Dense, ArraysMayLieAnywhere) {
  for (const int O : {12, 20}) {  // few outputs have kernels of their own
    SCOPED_TRACE(O);
    const DenseParams p{.N = 5, .I = 32, .O = O, .relu = true};
    const int64_t weights = int64_t{p.I} * p.O;
    const GradSlices slices{0, {0, 2, 5}, {2}};
    const Floats x_values = fill_uniform(p.N * p.I, 1), w_values = fill_uniform(weights, 2);
    const Floats b_values = fill_uniform(p.O, 3), grad_values = fill_uniform(p.N * p.O, 4);
    const Floats y_values = forward(ctx(), p, x_values, w_values, b_values);
    expect_same_wherever_an_array_lies(9, [&](const Misalignment& off) {
      const Guarded<float> x(x_values, off[0]), w(w_values, off[1]), b(b_values, off[2]);
      const Guarded<float> y(y_values, off[3]), grad_y(grad_values, off[4]);
      Guarded<float> result(p.N * p.O, off[5]), grad_x(p.N * p.I, off[6]), grad_w(weights, off[7]), grad_b(p.O, off[8]);
      EXPECT_TRUE(dense_fwd(ctx(), p, x.data(), w.data(), b.data(), result.data()).ok());
      EXPECT_TRUE(dense_bwd_data(ctx(), p, w.data(), y.data(), grad_y.data(), grad_x.data()).ok());
      EXPECT_TRUE(dense_bwd_filter(ctx(), p, slices, x.data(), y.data(), grad_y.data(), {grad_w.data(), weights},
                                   {grad_b.data(), p.O})
                      .ok());
      return std::vector<Floats>{result.values(), grad_x.values(), grad_w.values(), grad_b.values()};
    });
  }
}

TEST_P(Dense, WithoutInputsTheOutputIsTheBias) {
  const DenseParams p{.N = 2, .I = 0, .O = 2, .relu = true};
  EXPECT_THAT(forward(ctx(), p, {}, {}, {3, -4}), ElementsAre(3, 0, 3, 0));
}

TEST_P(Dense, EmptyBatchHasZeroGradients) {
  const DenseParams p{.N = 0, .I = 3, .O = 2, .relu = true};
  Floats grad_w(12, 9.0f), grad_b(4, 9.0f);
  EXPECT_TRUE(dense_bwd_filter(ctx(), p, {4, {0, 0, 0, 0}, {2, 1}}, nullptr, nullptr, nullptr, {grad_w.data(), 6},
                               {grad_b.data(), 2})
                  .ok());
  EXPECT_THAT(grad_w, Each(0.0f));
  EXPECT_THAT(grad_b, Each(0.0f));
}

TEST_P(Dense, RejectsSizesThatMakeNoSense) {
  for (const DenseParams& p :
       {DenseParams{.N = -1, .I = 1, .O = 1}, DenseParams{.N = 1, .I = -1, .O = 1},
        DenseParams{.N = 1, .I = 1, .O = -1}, DenseParams{.N = int64_t{1} << 62, .I = 16, .O = 1}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(dense_fwd(ctx(), p, nullptr, nullptr, nullptr, nullptr)));
  }
  const DenseParams p{.N = 2, .I = 1, .O = 1};
  EXPECT_TRUE(absl::IsInvalidArgument(
      dense_bwd_filter(ctx(), p, GradSlices::single(3), nullptr, nullptr, nullptr, {nullptr, 1}, {nullptr, 1})));
}

// An input of zero may be left out, but not where its weight makes NaN of it.
TEST_P(Dense, ZeroTimesInfinityIsNaN) {
  const DenseParams p{.N = 2, .I = 70, .O = 200, .relu = true};
  Floats w(14000, 0.5f);
  w[69 * 200 + 190] = std::numeric_limits<float>::infinity();
  const Floats x(140), b(200, 3.0f);
  const auto expect_nan = [](const Floats& y) {
    for (size_t i = 0; i < y.size(); ++i) {
      if (i % 200 == 190) {
        EXPECT_TRUE(std::isnan(y[i])) << i;
      } else {
        EXPECT_EQ(y[i], 3) << i;
      }
    }
  };
  expect_nan(forward(ctx(), p, x, w, b));
  Floats packed(static_cast<size_t>(dense_packed_floats(ctx(), p))), y(400);
  if (packed.empty()) return;
  ASSERT_TRUE(dense_pack(ctx(), p, w.data(), packed.data()).ok());
  ASSERT_TRUE(dense_fwd_packed(ctx(), p, x.data(), packed.data(), b.data(), y.data()).ok());
  expect_nan(y);
}

class DenseGradient : public ::testing::TestWithParam<DenseCase> {};

std::vector<DenseCase> small_dense_cases() {
  std::vector<DenseCase> cases = dense_cases();
  std::erase_if(cases, [](const DenseCase& c) {
    return (double(c.p.N) * c.p.I + double(c.p.I) * c.p.O) * c.p.flops() > 4e7 || c.p.flops() == 0;
  });
  return cases;
}

// On the grid, sums are multiples of 1/64 and exact in float. The offset keeps them 1/128 from the kink of the ReLU,
// the step moves them by less: nothing to skip.
TEST_P(DenseGradient, MatchesCentralDifferences) {
  const DenseParams p = GetParam().p;
  const KernelContext ref{Backend::kRef};
  Floats x = fill_grid(p.N * p.I, 1), w = fill_grid(int64_t{p.I} * p.O, 2), b = fill_grid(p.O, 3);
  for (float& value : b) value += 1.0f / 128;
  const Floats weights = fill_uniform(p.N * p.O, 4);
  const Gradients grad = backward(ref, p, x, w, forward(ref, p, x, w, b), weights);
  const auto loss = [&] { return weighted_sum(weights, forward(ref, p, x, w, b)); };
  const auto options = [](std::string what) {
    return GradCheckOptions{.what = std::move(what), .step = 1.0 / 1024, .kink = 1e-6, .max_skipped = 0};
  };
  EXPECT_TRUE(gradient_matches(x, grad.x, loss, options("grad_x")));
  EXPECT_TRUE(gradient_matches(w, grad.w, loss, options("grad_w")));
  EXPECT_TRUE(gradient_matches(b, grad.b, loss, options("grad_b")));
}

std::string case_name(const ::testing::TestParamInfo<DenseCase>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Cases, DenseGradient, ::testing::ValuesIn(small_dense_cases()), case_name);

}  // namespace
}  // namespace lockstep
