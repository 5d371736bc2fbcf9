// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv2d/conv2d.h"

#include <gmock/gmock.h>

#include <cfloat>
#include <cmath>
#include <limits>
#include <memory>

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

int64_t in_size(const Conv2dParams& p) { return p.N * p.H * p.W * p.C; }
int64_t out_size(const Conv2dParams& p) { return p.N * p.OH() * p.OW() * p.K; }
int64_t out_size(const Pool2dParams& p) { return p.N * p.OH() * p.OW() * p.C; }

Floats forward(const KernelContext& ctx, const Conv2dParams& p, const Floats& x, const Floats& w, const Floats& b) {
  Floats y(static_cast<size_t>(out_size(p)));
  EXPECT_TRUE(conv2d_fwd(ctx, p, x.data(), w.data(), b.data(), y.data()).ok());
  return y;
}

struct Gradients {
  Floats x, w, b;
};

Gradients backward(const KernelContext& ctx, const Conv2dParams& p, const Floats& x, const Floats& w, const Floats& y,
                   const Floats& grad_y) {
  Gradients grad{Floats(x.size()), Floats(w.size()), Floats(static_cast<size_t>(p.K))};
  EXPECT_TRUE(conv2d_bwd_data(ctx, p, w.data(), y.data(), grad_y.data(), grad.x.data()).ok());
  EXPECT_TRUE(conv2d_bwd_filter(ctx, p, GradSlices::single(p.N), x.data(), y.data(), grad_y.data(),
                                {grad.w.data(), p.filter_size()}, {grad.b.data(), p.K})
                  .ok());
  return grad;
}

class Conv2d : public OnBackends {};
LOCKSTEP_ON_ALL_BACKENDS(Conv2d);

// The oracle has no parallel loops that would count, and takes seconds for a layer.
TEST(Conv2dReference, EveryExampleIsASignOfLife) {
  ThreadPool pool(1);
  const KernelContext ctx{.backend = Backend::kRef, .pool = &pool};
  const Conv2dParams p{.N = 5, .H = 2, .W = 2, .C = 1, .K = 1, .R = 1, .S = 1};
  std::vector<float> x(20, 1.0f), w(1, 1.0f), b(1), y(20), grad_x(20), grad_w(1), grad_b(1);
  ASSERT_TRUE(conv2d_fwd(ctx, p, x.data(), w.data(), b.data(), y.data()).ok());
  EXPECT_EQ(pool.tasks_done(), 5u);
  ASSERT_TRUE(conv2d_bwd_data(ctx, p, w.data(), y.data(), y.data(), grad_x.data()).ok());
  EXPECT_EQ(pool.tasks_done(), 10u);
  ASSERT_TRUE(conv2d_bwd_filter(ctx, p, GradSlices::single(p.N), x.data(), y.data(), y.data(), {grad_w.data(), 1},
                                {grad_b.data(), 1})
                  .ok());
  EXPECT_EQ(pool.tasks_done(), 15u);
}

TEST_P(Conv2d, HandWorkedValidForward) {
  const Conv2dParams p{.N = 1, .H = 3, .W = 3, .C = 1, .K = 1, .R = 2, .S = 2, .padding = Padding::kValid};
  // 47 = 1 * 1 + 2 * 2 + 4 * 3 + 5 * 4 + 10.
  EXPECT_THAT(forward(ctx(), p, {1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 2, 3, 4}, {10}), ElementsAre(47, 57, 77, 87));
}

TEST_P(Conv2d, HandWorkedValidBackward) {
  const Conv2dParams p{.N = 1, .H = 3, .W = 3, .C = 1, .K = 1, .R = 2, .S = 2, .padding = Padding::kValid};
  const Gradients grad = backward(ctx(), p, {1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 2, 3, 4}, Floats(4), {1, 0, 0, 2});
  EXPECT_THAT(grad.x, ElementsAre(1, 2, 0, 3, 4 + 2, 4, 0, 6, 8));
  EXPECT_THAT(grad.w, ElementsAre(1 + 10, 2 + 12, 4 + 16, 5 + 18));
  EXPECT_THAT(grad.b, ElementsAre(3));
}

TEST_P(Conv2d, SamePaddingPutsTheOddZeroBehind) {
  const Conv2dParams p{.N = 1, .H = 2, .W = 2, .C = 1, .K = 1, .R = 2, .S = 2};
  EXPECT_THAT(forward(ctx(), p, {1, 2, 3, 4}, {1, 10, 100, 1000}, {0}), ElementsAre(4321, 402, 43, 4));
}

TEST_P(Conv2d, HandWorkedChannelsAndFilters) {
  const Conv2dParams p{.N = 1, .H = 1, .W = 2, .C = 2, .K = 3, .R = 1, .S = 1};
  EXPECT_THAT(forward(ctx(), p, {1, 2, 3, 4}, {1, 2, 3, 4, 5, 6}, {0, 100, 200}),
              ElementsAre(9, 112, 215, 19, 126, 233));
}

TEST_P(Conv2d, ReluClampsForwardAndMasksBackward) {
  const Conv2dParams p{.N = 1, .H = 1, .W = 3, .C = 1, .K = 1, .R = 1, .S = 1, .relu = true};
  const Floats x{1, -1, 0}, w{1};
  const Floats y = forward(ctx(), p, x, w, {0});
  EXPECT_THAT(y, ElementsAre(1, 0, 0));
  const Gradients grad = backward(ctx(), p, x, w, y, {5, 7, 9});
  EXPECT_THAT(grad.x, ElementsAre(5, 0, 0));
  EXPECT_THAT(grad.w, ElementsAre(5));
  EXPECT_THAT(grad.b, ElementsAre(5));
}

TEST_P(Conv2d, CentredUnitFilterCopiesTheImage) {
  const int C = 5;
  const Conv2dParams p{.N = 2, .H = 6, .W = 7, .C = C, .K = C, .R = 3, .S = 3};
  Floats w(static_cast<size_t>(p.filter_size()));
  for (int c = 0; c < C; ++c) w[static_cast<size_t>((4 * C + c) * C + c)] = 1;
  const Floats x = fill_uniform(in_size(p), 1);
  EXPECT_EQ(forward(ctx(), p, x, w, Floats(C)), x);
}

TEST_P(Conv2d, ZeroImageGivesTheBias) {
  const Conv2dParams p{.N = 2, .H = 3, .W = 4, .C = 2, .K = 1, .R = 3, .S = 3};
  EXPECT_THAT(forward(ctx(), p, Floats(static_cast<size_t>(in_size(p))), fill_uniform(p.filter_size(), 1), {0.375f}),
              Each(0.375f));
}

TEST_P(Conv2d, BlankDrawingGivesTheRectifiedBias) {
  const Conv2dParams p{.N = 2, .H = 5, .W = 9, .C = 1, .K = 16, .R = 3, .S = 3, .relu = true};
  Floats b(16, 3.0f);
  b[1] = -0.0f;
  b[2] = -1.0f;
  const Floats y = forward(ctx(), p, Floats(90, -0.0f), fill_uniform(p.filter_size(), 1), b);
  for (size_t i = 0; i < y.size(); ++i) {
    const bool is_zero = i % 16 == 1 || i % 16 == 2;
    EXPECT_EQ(y[i], is_zero ? 0 : 3) << i;
    EXPECT_FALSE(std::signbit(y[i]) && ctx().backend != Backend::kRef) << i;  // the oracle keeps a -0
  }
}

// Blank pixels may be left out, but not where a weight makes NaN of them.
TEST_P(Conv2d, ZeroTimesInfinityIsNaN) {
  const Conv2dParams p{.N = 1, .H = 4, .W = 20, .C = 1, .K = 16, .R = 3, .S = 3, .relu = true};
  Floats w(static_cast<size_t>(p.filter_size()), 0.5f);
  w[4 * 16 + 5] = std::numeric_limits<float>::infinity();  // the tap in the middle is never on the padding
  const Floats y = forward(ctx(), p, Floats(80), w, Floats(16, 3.0f));
  for (size_t i = 0; i < y.size(); ++i) {
    if (i % 16 == 5) {
      EXPECT_TRUE(std::isnan(y[i])) << i;
    } else {
      EXPECT_EQ(y[i], 3) << i;
    }
  }
}

TEST_P(Conv2d, NanReachesExactlyTheOutputsThatSeeIt) {
  const Conv2dParams p{.N = 2, .H = 9, .W = 9, .C = 3, .K = 4, .R = 3, .S = 3, .relu = true};
  Floats x = fill_uniform(in_size(p), 1);
  const int64_t n = 1, h = 4, w = 5;
  x[static_cast<size_t>(((n * p.H + h) * p.W + w) * p.C + 2)] = std::nanf("");
  const Floats y = forward(ctx(), p, x, fill_uniform(p.filter_size(), 2), Floats(4));
  for (int64_t i = 0; i < out_size(p); ++i) {
    const int64_t ow = i / p.K % p.W, oh = i / p.K / p.W % p.H, example = i / p.K / p.W / p.H;
    const bool sees_it = example == n && std::abs(oh - h) <= 1 && std::abs(ow - w) <= 1;
    EXPECT_EQ(std::isnan(y[static_cast<size_t>(i)]), sees_it) << "output " << i;
  }
}

// Winograd's transforms spread a NaN over its tile; what matters is that it is seen, and stays in its example.
TEST_P(Conv2d, NanIsNeverLostInATransform) {
  const Conv2dParams p{.N = 3, .H = 12, .W = 12, .C = 16, .K = 16, .R = 3, .S = 3, .relu = true};
  Floats x = fill_uniform(in_size(p), 1);
  const int64_t n = 1, h = 5, w = 11;
  x[static_cast<size_t>(((n * p.H + h) * p.W + w) * p.C + 7)] = std::nanf("");
  const Floats y = forward(ctx(), p, x, fill_uniform(p.filter_size(), 2), Floats(16));
  for (int64_t i = 0; i < out_size(p); ++i) {
    const int64_t ow = i / p.K % p.W, oh = i / p.K / p.W % p.H, example = i / p.K / p.W / p.H;
    const bool sees_it = example == n && std::abs(oh - h) <= 1 && std::abs(ow - w) <= 1;
    const bool is_nan = std::isnan(y[static_cast<size_t>(i)]);
    EXPECT_TRUE(is_nan || !sees_it) << "output " << i;
    EXPECT_TRUE(!is_nan || example == n) << "output " << i;
  }
}

// One shape for each way of convolving that the SIMD backend has: direct, Winograd 3 x 3, Winograd 5 x 5, Fourier.
const Conv2dParams kShapes[] = {{.H = 5, .W = 4, .C = 3, .K = 10, .R = 3, .S = 3, .relu = true},
                                {.H = 12, .W = 12, .C = 16, .K = 16, .R = 3, .S = 3, .relu = true},
                                {.H = 8, .W = 8, .C = 16, .K = 32, .R = 5, .S = 5, .relu = true},
                                {.H = 13, .W = 14, .C = 16, .K = 32, .R = 5, .S = 5, .relu = true}};

Floats example(const Floats& all, int64_t n, int64_t size) {
  return Floats(all.begin() + n * size, all.begin() + (n + 1) * size);
}

TEST_P(Conv2d, ExampleDoesNotDependOnItsNeighbours) {
  for (const Conv2dParams& shape : kShapes) {
    SCOPED_TRACE(shape.C);
    Conv2dParams batch = shape, single = shape;
    batch.N = 7;
    single.N = 1;
    const int64_t in = in_size(single), out = out_size(single);
    const Floats x = fill_cancelling(in_size(batch), 1), w = fill_uniform(batch.filter_size(), 2);
    const Floats b = fill_uniform(batch.K, 3), grad_y = fill_cancelling(out_size(batch), 4);
    const Floats y = forward(ctx(), batch, x, w, b), grad_x = backward(ctx(), batch, x, w, y, grad_y).x;
    for (int64_t n = 0; n < batch.N; ++n) {
      const Floats own_x = example(x, n, in), own_y = example(y, n, out);
      EXPECT_EQ(forward(ctx(), single, own_x, w, b), own_y);
      EXPECT_EQ(backward(ctx(), single, own_x, w, own_y, example(grad_y, n, out)).x, example(grad_x, n, in));
    }
  }
}

void expect_same_gradient_on_any_ranks(const BackendCase& backend, const KernelContext& ctx, const Conv2dParams& p) {
  constexpr int kSlices = 8;
  const Floats x = fill_cancelling(in_size(p), 1), grad_y = fill_cancelling(out_size(p), 2);
  const Floats y = fill_uniform(out_size(p), 3);
  const RankGradient gradient = [&](const GradSlices& slices, int64_t first) {
    Conv2dParams local = p;
    local.N = slices.examples();
    const int64_t in = first * p.H * p.W * p.C, out = first * p.OH() * p.OW() * p.K;
    PartialBuffer grad_w(slices, p.filter_size()), grad_b(slices, p.K);
    EXPECT_TRUE(conv2d_bwd_filter(ctx, local, slices, x.data() + in, y.data() + out, grad_y.data() + out,
                                  grad_w.output(), grad_b.output())
                    .ok());
    return grad_w.joined_with(grad_b);
  };
  const Floats expected = RankSums(1, kSlices, p.N, gradient).total();
  for (const int ranks : {2, 3, 4, 5, 8}) {
    const std::string shape = shape_of(Conv2dCase{"", p, {}}) + " on " + std::to_string(ranks) + " ranks";
    const CompareContext context{"grad", {}, shape, backend.name, 1};
    EXPECT_TRUE(same_bits(expected, RankSums(ranks, kSlices, p.N, gradient).total(), context));
  }
}

TEST_P(Conv2d, PartialSumsOfAnyNumberOfRanksMakeTheSameGradient) {
  for (Conv2dParams p : kShapes) {
    for (const int64_t batch : {3, 8, 21}) {  // slices are empty, of one size, of two sizes
      p.N = batch;
      expect_same_gradient_on_any_ranks(GetParam(), ctx(), p);
    }
  }
}

// Rounded factors and a library's engines included.
class Conv2dAnyArithmetic : public OnBackends {
 protected:
  // Where only a GPU is fast enough, the layers of the reference network too.
  std::vector<Conv2dParams> shapes() const {
    std::vector<Conv2dParams> all{kShapes[0], {.H = 4, .W = 4, .C = 8, .K = 16, .R = 3, .S = 3, .relu = true}};
#if !defined(LOCKSTEP_EMULATED)
    all.insert(all.end(), kShapes + 1, std::end(kShapes));
    if (ctx().device != nullptr) {
      all.push_back({.H = 28, .W = 28, .C = 1, .K = 32, .R = 5, .S = 5, .relu = true});
      all.push_back({.H = 14, .W = 14, .C = 32, .K = 64, .R = 5, .S = 5, .relu = true});
    }
#endif
    return all;
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, Conv2dAnyArithmetic, ::testing::ValuesIn(backends_under_test()), backend_test_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Conv2dAnyArithmetic);  // no device

// Batches that one rank, two and a hundred would see of the same examples.
TEST_P(Conv2dAnyArithmetic, ExampleDoesNotDependOnTheSizeOfTheBatch) {
  for (const Conv2dParams& shape : shapes()) {
    SCOPED_TRACE(shape_of(Conv2dCase{"", shape, {}}));
    Conv2dParams all = shape;
    all.N = 100;
    const Floats x = fill_cancelling(in_size(all), 1), w = fill_uniform(all.filter_size(), 2);
    const Floats b = fill_uniform(all.K, 3), grad_y = fill_cancelling(out_size(all), 4);
    const auto gradient = [&](const Conv2dParams& p, const Floats& y, const Floats& grad) {
      Floats grad_x(static_cast<size_t>(in_size(p)));
      EXPECT_TRUE(conv2d_bwd_data(ctx(), p, w.data(), y.data(), grad.data(), grad_x.data()).ok());
      return grad_x;
    };
    const Floats y = forward(ctx(), all, x, w, b), grad_x = gradient(all, y, grad_y);
    for (const int64_t size : {50, 1}) {
      Conv2dParams p = shape;
      p.N = size;
      for (const int64_t n : {int64_t{0}, 100 / size - 1}) {
        const Floats own_y = example(y, n, out_size(p));
        EXPECT_EQ(forward(ctx(), p, example(x, n, in_size(p)), w, b), own_y) << size << " from " << n * size;
        EXPECT_EQ(gradient(p, own_y, example(grad_y, n, out_size(p))), example(grad_x, n, in_size(p)))
            << size << " from " << n * size;
      }
    }
  }
}

TEST_P(Conv2dAnyArithmetic, PartialSumsOfAnyNumberOfRanksMakeTheSameGradient) {
  for (Conv2dParams p : shapes()) {
    for (const int64_t batch : {1, 50, 100}) {
      p.N = batch;
      expect_same_gradient_on_any_ranks(GetParam(), ctx(), p);
    }
  }
}

TEST_P(Conv2d, FusedPoolEqualsConvolutionThenPool) {
  for (const Conv2dCase& c : conv2d_cases()) {
    if (c.name == "mnist_second" || c.p.N == 0) continue;  // slow under sanitizers; nothing to see
    SCOPED_TRACE(c.name);
    const Floats x = fill_uniform(in_size(c.p), 1), w = fill_uniform(c.p.filter_size(), 2), b = fill_uniform(c.p.K, 3);
    const Floats full = forward(ctx(), c.p, x, w, b);
    Floats expected(static_cast<size_t>(out_size(c.pool))), got(expected.size());
    std::vector<uint8_t> expected_argmax(expected.size()), argmax(expected.size());
    EXPECT_TRUE(pool2d_max_fwd(ctx(), c.pool, full.data(), expected.data(), expected_argmax.data()).ok());
    EXPECT_TRUE(conv2d_pool_fwd(ctx(), c.p, c.pool, x.data(), w.data(), b.data(), got.data(), argmax.data()).ok());
    EXPECT_EQ(got, expected);
    EXPECT_EQ(argmax, expected_argmax);
  }
}

// Each pass, with and without a pool behind it, one array after the other one element off. The same bits, but for
// cuDNN, which leaves misaligned arrays to our kernels: sums of at most 144 products in another order.
void expect_same_wherever_arrays_lie(const KernelContext& ctx, const Conv2dParams& p) {
  const Pool2dParams pool{.N = p.N, .H = p.OH(), .W = p.OW(), .C = p.K};
  const GradSlices slices = GradSlices::single(p.N);
  const Floats x_values = fill_uniform(in_size(p), 1), w_values = fill_uniform(p.filter_size(), 2);
  const Floats b_values = fill_uniform(p.K, 3), grad_values = fill_uniform(out_size(p), 4);
  const Floats y_values = forward(ctx, p, x_values, w_values, b_values);
  Floats pooled_values(static_cast<size_t>(out_size(pool)));
  std::vector<uint8_t> winners(pooled_values.size());
  ASSERT_TRUE(pool2d_max_fwd(ctx, pool, y_values.data(), pooled_values.data(), winners.data()).ok());
  const Floats pooled_grad_values = fill_uniform(out_size(pool), 5);
  const double tolerance = ctx.backend == Backend::kCudnn ? 144 * FLT_EPSILON : 0;
  expect_same_wherever_an_array_lies(
      15,
      [&](const Misalignment& off) {
        const Guarded<float> x(x_values, off[0]), w(w_values, off[1]), b(b_values, off[2]);
        const Guarded<float> y(y_values, off[3]), grad_y(grad_values, off[4]);
        const Guarded<float> pooled(pooled_values, off[5]), grad_pooled(pooled_grad_values, off[6]);
        const Guarded<uint8_t> from(winners, off[7]);
        const auto float_buffer = [](int64_t size, int misalign) {
          return std::make_unique<Guarded<float>>(size, misalign);
        };
        const auto result = float_buffer(out_size(p), off[8]), pooled_result = float_buffer(out_size(pool), off[9]);
        Guarded<uint8_t> argmax(out_size(pool), off[10] + 4 * off[14]);  // 4 bytes: enough for some stores
        std::vector<Floats> written;
        const auto backward_passes = [&](auto&& data, auto&& filter) {
          const auto grad_x = float_buffer(in_size(p), off[11]), grad_w = float_buffer(p.filter_size(), off[12]);
          const auto grad_b = float_buffer(p.K, off[13]);
          EXPECT_TRUE(data(grad_x->data()).ok());
          EXPECT_TRUE(filter(GradOutput{grad_w->data(), p.filter_size()}, GradOutput{grad_b->data(), p.K}).ok());
          for (const auto* grad : {&grad_x, &grad_w, &grad_b}) written.push_back((*grad)->values());
        };
        EXPECT_TRUE(conv2d_fwd(ctx, p, x.data(), w.data(), b.data(), result->data()).ok());
        EXPECT_TRUE(
            conv2d_pool_fwd(ctx, p, pool, x.data(), w.data(), b.data(), pooled_result->data(), argmax.data()).ok());
        backward_passes([&](float* to) { return conv2d_bwd_data(ctx, p, w.data(), y.data(), grad_y.data(), to); },
                        [&](GradOutput to_w, GradOutput to_b) {
                          return conv2d_bwd_filter(ctx, p, slices, x.data(), y.data(), grad_y.data(), to_w, to_b);
                        });
        backward_passes(
            [&](float* to) {
              return conv2d_pool_bwd_data(ctx, p, pool, w.data(), pooled.data(), from.data(), grad_pooled.data(), to);
            },
            [&](GradOutput to_w, GradOutput to_b) {
              return conv2d_pool_bwd_filter(ctx, p, pool, slices, x.data(), pooled.data(), from.data(),
                                            grad_pooled.data(), to_w, to_b);
            });
        written.insert(written.end(), {result->values(), pooled_result->values()});
        written.emplace_back(argmax.span().begin(), argmax.span().end());
        return written;
      },
      tolerance);
}

TEST_P(Conv2d, ArraysMayLieAnywhere) {
  expect_same_wherever_arrays_lie(ctx(), {.N = 2, .H = 6, .W = 4, .C = 8, .K = 16, .R = 3, .S = 3, .relu = true});
  expect_same_wherever_arrays_lie(ctx(), {.N = 2, .H = 6, .W = 4, .C = 1, .K = 16, .R = 3, .S = 3, .relu = true});
  // Images of a size that is no multiple of 16 bytes, which cuDNN is given wherever they lie.
  expect_same_wherever_arrays_lie(ctx(), {.N = 2, .H = 5, .W = 5, .C = 3, .K = 8, .R = 3, .S = 3, .relu = true});
  for (const Conv2dParams& shape : kShapes) {  // each way of the SIMD backend
    if (ctx().backend != Backend::kSimd) break;
    Conv2dParams two = shape;
    two.N = 2;
    expect_same_wherever_arrays_lie(ctx(), two);
  }
}

class Conv2dAnyPrecision : public OnBackends {};
INSTANTIATE_TEST_SUITE_P(Backends, Conv2dAnyPrecision, ::testing::ValuesIn(own_kernels()), backend_test_name);

// Tap (0, 0) meets the inputs above and left of the last OH and OW alone. Kernels that go beyond, as far as their tiles
// reach, must not multiply what they find there with a gradient of zero: it may be infinite.
TEST_P(Conv2dAnyPrecision, InputsThatATapNeverMeetsDoNotReachItsGradient) {
  for (const Conv2dParams& p :
       {Conv2dParams{.N = 2, .H = 7, .W = 7, .C = 3, .K = 5}, Conv2dParams{.N = 2, .H = 9, .W = 9, .C = 1, .K = 5},
        Conv2dParams{.N = 1, .H = 5, .W = 261, .C = 1, .K = 5},
        Conv2dParams{.N = 2, .H = 9, .W = 9, .C = 17, .K = 19}}) {
    Conv2dParams valid = p;
    valid.R = valid.S = 3;
    valid.padding = Padding::kValid;
    SCOPED_TRACE(shape_of(Conv2dCase{"", valid, {}}));
    const Floats w(static_cast<size_t>(valid.filter_size())), y(static_cast<size_t>(out_size(valid)), 1.0f);
    const Floats grad_y = fill_uniform(out_size(valid), 2);
    const auto gradient_of_first_tap = [&](float beside) {
      Floats x = fill_uniform(in_size(valid), 1);
      for (size_t i = 0; i < x.size(); ++i) {
        const auto pixel = static_cast<int64_t>(i) / valid.C;
        if (pixel % valid.W >= valid.OW() || pixel / valid.W % valid.H >= valid.OH()) x[i] = beside;
      }
      const Floats grad_w = backward(ctx(), valid, x, w, y, grad_y).w;
      return Floats(grad_w.begin(), grad_w.begin() + int64_t{valid.C} * valid.K);
    };
    EXPECT_EQ(gradient_of_first_tap(HUGE_VALF), gradient_of_first_tap(0));
  }
}

TEST_P(Conv2d, EmptyBatchHasZeroGradients) {
  const Conv2dParams p{.N = 0, .H = 3, .W = 3, .C = 2, .K = 2, .R = 3, .S = 3, .relu = true};
  const GradSlices slices{4, {0, 0, 0, 0}, {2, 1}};
  Floats grad_w(static_cast<size_t>(2 * p.filter_size()), 9.0f), grad_b(4, 9.0f);
  EXPECT_TRUE(conv2d_bwd_filter(ctx(), p, slices, nullptr, nullptr, nullptr, {grad_w.data(), p.filter_size()},
                                {grad_b.data(), p.K})
                  .ok());
  EXPECT_THAT(grad_w, Each(0.0f));
  EXPECT_THAT(grad_b, Each(0.0f));
  EXPECT_TRUE(conv2d_fwd(ctx(), p, nullptr, nullptr, nullptr, nullptr).ok());
  EXPECT_TRUE(conv2d_bwd_data(ctx(), p, nullptr, nullptr, nullptr, nullptr).ok());
}

TEST_P(Conv2d, RejectsSizesThatMakeNoSense) {
  const Conv2dParams good{.N = 1, .H = 3, .W = 3, .C = 1, .K = 1, .R = 2, .S = 2, .padding = Padding::kValid};
  const auto rejected = [&](auto change) {
    Conv2dParams p = good;
    change(p);
    const absl::Status status = conv2d_fwd(ctx(), p, nullptr, nullptr, nullptr, nullptr);  // must not be touched
    return absl::IsInvalidArgument(status);
  };
  EXPECT_TRUE(rejected([](Conv2dParams& p) { p.N = -1; }));
  EXPECT_TRUE(rejected([](Conv2dParams& p) { p.H = 0; }));
  EXPECT_TRUE(rejected([](Conv2dParams& p) { p.W = -3; }));
  EXPECT_TRUE(rejected([](Conv2dParams& p) { p.C = 0; }));
  EXPECT_TRUE(rejected([](Conv2dParams& p) { p.K = 0; }));
  EXPECT_TRUE(rejected([](Conv2dParams& p) { p.S = 0; }));
  EXPECT_TRUE(rejected([](Conv2dParams& p) { p.stride = 0; }));
  EXPECT_TRUE(rejected([](Conv2dParams& p) { p.R = 4; }));  // larger than the image, without padding
  EXPECT_TRUE(rejected([](Conv2dParams& p) { p.N = int64_t{1} << 62; }));
}

TEST_P(Conv2d, RejectsSlicesThatDoNotFitTheBatchOrTheTree) {
  const Conv2dParams p{.N = 4, .H = 2, .W = 2, .C = 1, .K = 1, .R = 1, .S = 1};
  const auto rejected = [&](const GradSlices& slices, int64_t stride = 1) {
    return absl::IsInvalidArgument(
        conv2d_bwd_filter(ctx(), p, slices, nullptr, nullptr, nullptr, {nullptr, stride}, {nullptr, 1}));
  };
  EXPECT_TRUE(rejected({0, {}, {}}));
  EXPECT_TRUE(rejected({0, {0, 3}, {1}}));           // an example is left over
  EXPECT_TRUE(rejected({0, {1, 4}, {1}}));           // and here
  EXPECT_TRUE(rejected({0, {0, 3, 2, 4}, {2, 1}}));  // a slice of -1 examples
  EXPECT_TRUE(rejected({0, {0, 2, 4}, {1}}));        // a slice without a subtree
  EXPECT_TRUE(rejected({0, {0, 1, 2, 4}, {3}}));     // not a power of two
  EXPECT_TRUE(rejected({1, {0, 2, 4}, {2}}));        // slices 1 and 2 are no subtree
  EXPECT_TRUE(rejected({0, {0, 2, 4}, {1, 1}}, 0));  // partial sums on top of each other
}

TEST_P(Conv2d, RejectsAPoolThatIsNotBehindTheConvolution) {
  const Conv2dParams p{.N = 1, .H = 4, .W = 4, .C = 1, .K = 2, .R = 3, .S = 3};
  const auto rejected = [&](const Pool2dParams& pool) {
    return absl::IsInvalidArgument(conv2d_pool_fwd(ctx(), p, pool, nullptr, nullptr, nullptr, nullptr, nullptr));
  };
  EXPECT_TRUE(rejected({.N = 2, .H = 4, .W = 4, .C = 2}));
  EXPECT_TRUE(rejected({.N = 1, .H = 5, .W = 4, .C = 2}));
  EXPECT_TRUE(rejected({.N = 1, .H = 4, .W = 4, .C = 1}));
  EXPECT_TRUE(rejected({.N = 1, .H = 4, .W = 4, .C = 2, .window = 5}));
  EXPECT_TRUE(rejected({.N = 1, .H = 4, .W = 4, .C = 2, .stride = 0}));
}

// The oracle itself, against central differences; large cases would take too many forward passes.
class Conv2dGradient : public ::testing::TestWithParam<Conv2dCase> {
 protected:
  const Conv2dParams p = GetParam().p;
  const Pool2dParams pool = GetParam().pool;
  const KernelContext ref{Backend::kRef};
};

std::vector<Conv2dCase> small_conv2d_cases() {
  std::vector<Conv2dCase> cases = conv2d_cases();
  std::erase_if(cases, [](const Conv2dCase& c) {
    const double elements = static_cast<double>(in_size(c.p) + c.p.filter_size() + c.p.K);
    return elements * c.p.flops() > 4e7 || c.p.N == 0;
  });
  return cases;
}

// On the grid, sums are multiples of 1/64 and exact in float. The offset keeps them 1/128 from the kink of the ReLU,
// the step moves them by less: nothing to skip.
TEST_P(Conv2dGradient, MatchesCentralDifferences) {
  Floats x = fill_grid(in_size(p), 1), w = fill_grid(p.filter_size(), 2), b = fill_grid(p.K, 3);
  for (float& value : b) value += 1.0f / 128;
  const Floats weights = fill_uniform(out_size(p), 4);
  const Gradients grad = backward(ref, p, x, w, forward(ref, p, x, w, b), weights);
  const auto loss = [&] { return weighted_sum(weights, forward(ref, p, x, w, b)); };
  const auto options = [](std::string what) {
    return GradCheckOptions{.what = std::move(what), .step = 1.0 / 1024, .kink = 1e-6, .max_skipped = 0};
  };
  EXPECT_TRUE(gradient_matches(x, grad.x, loss, options("grad_x")));
  EXPECT_TRUE(gradient_matches(w, grad.w, loss, options("grad_w")));
  EXPECT_TRUE(gradient_matches(b, grad.b, loss, options("grad_b")));
}

// No grid here: it would be full of tied maxima. So steps are small, and the tolerance covers float's rounding.
TEST_P(Conv2dGradient, FusedPoolMatchesCentralDifferences) {
  Floats x = fill_uniform(in_size(p), 1), w = fill_uniform(p.filter_size(), 2), b = fill_uniform(p.K, 3);
  const Floats weights = fill_uniform(out_size(pool), 4);
  Floats y(weights.size());
  std::vector<uint8_t> argmax(y.size());
  const auto loss = [&] {
    EXPECT_TRUE(conv2d_pool_fwd(ref, p, pool, x.data(), w.data(), b.data(), y.data(), argmax.data()).ok());
    return weighted_sum(weights, y);
  };
  loss();
  Gradients grad{Floats(x.size()), Floats(w.size()), Floats(b.size())};
  EXPECT_TRUE(
      conv2d_pool_bwd_data(ref, p, pool, w.data(), y.data(), argmax.data(), weights.data(), grad.x.data()).ok());
  EXPECT_TRUE(conv2d_pool_bwd_filter(ref, p, pool, GradSlices::single(p.N), x.data(), y.data(), argmax.data(),
                                     weights.data(), {grad.w.data(), p.filter_size()}, {grad.b.data(), p.K})
                  .ok());
  const auto options = [](std::string what, double max_skipped) {
    return GradCheckOptions{std::move(what), 1.0 / 256, 4e-3, /*kink=*/4e-3, max_skipped};
  };
  EXPECT_TRUE(gradient_matches(x, grad.x, loss, options("grad_x", 0.9)));
  EXPECT_TRUE(gradient_matches(w, grad.w, loss, options("grad_w", 1)));
  EXPECT_TRUE(gradient_matches(b, grad.b, loss, options("grad_b", 1)));
}

std::string case_name(const ::testing::TestParamInfo<Conv2dCase>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Cases, Conv2dGradient, ::testing::ValuesIn(small_conv2d_cases()), case_name);

}  // namespace
}  // namespace lockstep
