// SPDX-License-Identifier: Apache-2.0
#include "kernels/softmax_xent/softmax_xent.h"

#include <gmock/gmock.h>

#include <cfloat>
#include <cmath>
#include <limits>

#include "tests/kernels/on_backends.h"
#include "tests/support/fill.h"
#include "tests/support/grad_check.h"
#include "tests/support/kernel_case.h"

namespace lockstep {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using Floats = std::vector<float>;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

struct Result {
  Floats loss, probabilities, grad;
};

Result run(const KernelContext& ctx, const SoftmaxXentParams& p, const Floats& logits,
           const std::vector<int32_t>& labels) {
  Result result{Floats(static_cast<size_t>(p.N)), Floats(logits.size()), Floats(logits.size())};
  EXPECT_TRUE(softmax_xent(ctx, p, logits.data(), labels.data(), result.loss.data(), result.probabilities.data(),
                           result.grad.data())
                  .ok());
  return result;
}

class SoftmaxXent : public OnBackends {};
LOCKSTEP_ON_ALL_BACKENDS(SoftmaxXent);

TEST_P(SoftmaxXent, HandWorkedExample) {
  // exp(0) : exp(log 3) = 1 : 3.
  const Result result = run(ctx(), {.N = 1, .C = 2, .grad_scale = 0.5f}, {0, std::log(3.0f)}, {0});
  EXPECT_THAT(result.probabilities, ElementsAre(FloatNear(0.25f, 1e-7f), FloatNear(0.75f, 1e-7f)));
  EXPECT_NEAR(result.loss[0], std::log(4.0), 1e-6);
  EXPECT_THAT(result.grad, ElementsAre(FloatNear(-0.375f, 1e-7f), FloatNear(0.375f, 1e-7f)));
}

TEST_P(SoftmaxXent, RowsSumToOneAndGradientsToZero) {
  const int64_t N = 15;
  const int C = 37;
  const Result result = run(ctx(), {.N = N, .C = C}, fill_logits(N, C, 1), fill_labels(N, C, 2));
  for (int64_t n = 0; n < N; ++n) {
    double sum = 0, grad_sum = 0;
    for (int64_t i = n * C; i < (n + 1) * C; ++i) {
      EXPECT_GE(result.probabilities[static_cast<size_t>(i)], 0);
      sum += result.probabilities[static_cast<size_t>(i)];
      grad_sum += result.grad[static_cast<size_t>(i)];
    }
    EXPECT_NEAR(sum, 1, 1e-6) << "row " << n;
    EXPECT_NEAR(grad_sum, 0, 1e-6) << "row " << n;
  }
}

TEST_P(SoftmaxXent, CommonOffsetChangesNothing) {
  const Floats logits = fill_grid(10, 1);
  Floats shifted = logits;
  for (float& value : shifted) value += 4096;  // exact
  const Result expected = run(ctx(), {.N = 1, .C = 10}, logits, {3}), got = run(ctx(), {.N = 1, .C = 10}, shifted, {3});
  EXPECT_EQ(got.probabilities, expected.probabilities);
  EXPECT_EQ(got.grad, expected.grad);
  EXPECT_NEAR(got.loss[0], expected.loss[0], 1e-6);
}

TEST_P(SoftmaxXent, LogitsFarBeyondTheRangeOfExpAreSafe) {
  const Result result = run(ctx(), {.N = 3, .C = 2}, {1000, 0, 1000, 0, -3e38f, 3e38f}, {0, 1, 1});
  EXPECT_THAT(result.probabilities, ElementsAre(1, 0, 1, 0, 0, 1));
  EXPECT_THAT(result.loss, ElementsAre(0, 1000, 0));
  EXPECT_THAT(result.grad, ElementsAre(0, 0, 1, -1, 0, 0));
}

TEST_P(SoftmaxXent, OneClassIsCertain) {
  const Result result = run(ctx(), {.N = 2, .C = 1}, {5, -7}, {0, 0});
  EXPECT_THAT(result.probabilities, Each(1.0f));
  EXPECT_THAT(result.loss, Each(0.0f));
  EXPECT_THAT(result.grad, Each(0.0f));
}

TEST_P(SoftmaxXent, NonFiniteLogitMakesItsRowNanAndNoOther) {
  for (const float bad : {kNan, kInf, -kInf}) {
    Floats logits = fill_uniform(3 * 11, 1);
    logits[11 + 4] = bad;
    const Result result = run(ctx(), {.N = 3, .C = 11}, logits, {0, 1, 2});
    Floats alone(logits.size());
    EXPECT_TRUE(softmax(ctx(), 3, 11, logits.data(), alone.data()).ok());
    for (size_t i = 0; i < logits.size(); ++i) {
      EXPECT_EQ(std::isnan(result.probabilities[i]), i / 11 == 1) << bad << " at " << i;
      EXPECT_EQ(std::isnan(result.grad[i]), i / 11 == 1) << bad << " at " << i;
      EXPECT_EQ(std::isnan(alone[i]), i / 11 == 1) << bad << " at " << i;
    }
    for (size_t n = 0; n < 3; ++n) EXPECT_EQ(std::isnan(result.loss[n]), n == 1) << bad;
  }
}

TEST_P(SoftmaxXent, RowDoesNotDependOnItsNeighbours) {
  const Floats logits = fill_logits(6, 13, 1);
  const std::vector<int32_t> labels = fill_labels(6, 13, 2);
  const Result all = run(ctx(), {.N = 6, .C = 13}, logits, labels);
  for (int64_t n = 0; n < 6; ++n) {
    const auto row = [n](const Floats& values) {
      return Floats(values.begin() + n * 13, values.begin() + (n + 1) * 13);
    };
    const Result one = run(ctx(), {.N = 1, .C = 13}, row(logits), {labels[static_cast<size_t>(n)]});
    EXPECT_EQ(one.probabilities, row(all.probabilities));
    EXPECT_EQ(one.grad, row(all.grad));
    EXPECT_EQ(one.loss[0], all.loss[static_cast<size_t>(n)]);
  }
}

TEST_P(SoftmaxXent, OutputsMayBeNullOrTheLogits) {
  const SoftmaxXentParams p{.N = 4, .C = 19};
  const Floats logits = fill_logits(4, 19, 1);
  const std::vector<int32_t> labels = fill_labels(4, 19, 2);
  const Result expected = run(ctx(), p, logits, labels);
  Floats loss(4), in_place = logits;
  EXPECT_TRUE(softmax_xent(ctx(), p, logits.data(), labels.data(), loss.data(), nullptr, nullptr).ok());
  EXPECT_EQ(loss, expected.loss);
  EXPECT_TRUE(softmax_xent(ctx(), p, in_place.data(), labels.data(), loss.data(), nullptr, in_place.data()).ok());
  EXPECT_EQ(in_place, expected.grad);
  EXPECT_EQ(loss, expected.loss);
  in_place = logits;
  Floats grad(logits.size());
  EXPECT_TRUE(softmax_xent(ctx(), p, in_place.data(), labels.data(), loss.data(), in_place.data(), grad.data()).ok());
  EXPECT_EQ(in_place, expected.probabilities);
  EXPECT_EQ(grad, expected.grad);
  in_place = logits;
  EXPECT_TRUE(softmax(ctx(), 4, 19, in_place.data(), in_place.data()).ok());
  EXPECT_EQ(in_place, expected.probabilities);
}

void expect_bad_label_is_an_error(const KernelContext& ctx) {
  for (const int32_t bad : {-1, 3}) {
    const std::vector<int32_t> labels{0, 2, bad};
    Floats loss(3, 9.0f), probabilities(9, 9.0f), grad(9, 9.0f);
    const absl::Status status = softmax_xent(ctx, {.N = 3, .C = 3}, Floats(9).data(), labels.data(), loss.data(),
                                             probabilities.data(), grad.data());
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_THAT(std::string(status.message()), HasSubstr("example 2"));
    EXPECT_THAT(loss, Each(9.0f));
    EXPECT_THAT(probabilities, Each(9.0f));
    EXPECT_THAT(grad, Each(9.0f));
  }
}
void expect_bad_label_makes_its_loss_nan(const KernelContext& ctx) {
  for (const int C : {3, 19}) {  // few classes have a kernel of their own
    for (const int32_t bad : {-1, C}) {
      const Result result = run(ctx, {.N = 3, .C = C}, fill_uniform(3 * C, 1), {0, 2, bad});
      for (size_t n = 0; n < 3; ++n) EXPECT_EQ(std::isnan(result.loss[n]), n == 2) << C << " classes, label " << bad;
      for (const float value : result.probabilities) EXPECT_TRUE(std::isfinite(value));
    }
  }
}

TEST_P(SoftmaxXent, BadLabelIsAnErrorWhereTheHostSeesItElseANanLoss) {
  if (is_device(ctx().backend)) {
    expect_bad_label_makes_its_loss_nan(ctx());
  } else {
    expect_bad_label_is_an_error(ctx());
  }
}

TEST_P(SoftmaxXent, RejectsSizesThatMakeNoSense) {
  EXPECT_TRUE(absl::IsInvalidArgument(softmax(ctx(), 1, 0, nullptr, nullptr)));
  EXPECT_TRUE(absl::IsInvalidArgument(softmax(ctx(), -1, 3, nullptr, nullptr)));
  EXPECT_TRUE(
      absl::IsInvalidArgument(softmax_xent(ctx(), {.N = 0, .C = 0}, nullptr, nullptr, nullptr, nullptr, nullptr)));
}

class SoftmaxXentGradient : public ::testing::TestWithParam<SoftmaxCase> {};

// The tolerance covers the third derivative times step^2 / 6, and float's rounding of the loss.
TEST_P(SoftmaxXentGradient, MatchesCentralDifferences) {
  const int64_t N = GetParam().N;
  const SoftmaxXentParams p{.N = N, .C = GetParam().C};
  const KernelContext ref{Backend::kRef};
  Floats logits = fill_uniform(N * p.C, 1, -2, 2);
  const std::vector<int32_t> labels = fill_labels(N, p.C, 2);
  const Floats ones(static_cast<size_t>(N), 1.0f);
  const auto loss = [&] { return weighted_sum(ones, run(ref, p, logits, labels).loss); };
  EXPECT_TRUE(gradient_matches(logits, run(ref, p, logits, labels).grad, loss,
                               {.what = "grad_logits", .step = 1.0 / 64, .tolerance = 1e-4}));
}

std::vector<SoftmaxCase> small_softmax_cases() {
  std::vector<SoftmaxCase> cases = softmax_cases();
  std::erase_if(cases, [](const SoftmaxCase& c) { return c.N * c.C > 1000 || c.N == 0; });
  return cases;
}

std::string case_name(const ::testing::TestParamInfo<SoftmaxCase>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Cases, SoftmaxXentGradient, ::testing::ValuesIn(small_softmax_cases()), case_name);

}  // namespace
}  // namespace lockstep
