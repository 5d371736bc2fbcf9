// SPDX-License-Identifier: Apache-2.0
// Every operator, every case, every instruction set (thread order of the emulated GPU) against the oracle.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>

#include "tests/kernels/problem.h"
#include "tests/support/backends.h"
#include "tests/support/compare.h"

namespace lockstep {
namespace {

// What the oracle says of a problem; computed once, for all instruction sets.
struct Reference {
  std::unique_ptr<Problem> problem;
  Outputs expected, scales;
};

const Reference& reference_of(const ProblemCase& c) {
  static auto& cache = *new std::map<std::string, Reference>;
  Reference& reference = cache[c.name];
  if (reference.problem == nullptr) {
    reference.problem = c.make();
    reference.expected = reference.problem->run({Backend::kRef});
    reference.scales = reference.problem->scales();
  }
  return reference;
}

// An element can be finite although its scale is not: a ReLU of minus infinity, a maximum over minus infinity and
// others. The other elements of the output then say what is usual.
std::vector<float> finite_scales(std::vector<float> scales) {
  float usual = 0;
  for (const float scale : scales) usual = std::isfinite(scale) ? std::max(usual, scale) : usual;
  for (float& scale : scales) scale = std::isfinite(scale) ? scale : usual;
  return scales;
}

double slack(const Reference& reference, const KernelContext& context) {
  return is_device(context.backend) ? reference.problem->device_slack() : 1;
}

// A chain of n additions makes n rounding errors of either sign, which add up like a random walk. Both factors of a
// product may be rounded first.
double error_constant(const ProblemCase& problem, const Output& output, const BackendCase& backend) {
  const double factors = 2 * backend.factor_rounding / std::numeric_limits<float>::epsilon();
  return problem.c + std::sqrt(static_cast<double>(output.terms)) / 2 + (output.terms > 0 ? factors : 0);
}

// One NaN may well make a whole output NaN.
bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

class Parity : public ::testing::TestWithParam<std::tuple<ProblemCase, BackendCase>> {};

TEST_P(Parity, MatchesTheOracle) {
  const auto& [problem, backend] = GetParam();
  const Reference& reference = reference_of(problem);
  const ScopedBackend scope(backend);
  const Outputs got = reference.problem->run(scope.context());
  ASSERT_EQ(got.size(), reference.expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const Output& expected = reference.expected[i];
    const double max_repeated = all_finite(expected.values) ? expected.max_repeated : 1;
    const CompareContext context{expected.name, expected.dims, reference.problem->shape(),
                                 backend.name,  problem.seed,  max_repeated};
    const std::vector<double> tol =
        tolerances(slack(reference, scope.context()) * error_constant(problem, expected, backend),
                   finite_scales(reference.scales[i].values));
    EXPECT_TRUE(close_to(expected.values, got[i].values, tol, context));
  }
}

std::string parity_name(const ::testing::TestParamInfo<Parity::ParamType>& info) {
  return std::get<0>(info.param).name + "_" + std::get<1>(info.param).name;
}

enum class Kind { kProducts, kOther };

// What has no products to round is the same on the backends that differ in that alone.
auto on_every_backend(const std::vector<ProblemCase>& problems, Kind kind) {
  std::vector<BackendCase> backends = backends_under_test();
  std::erase_if(backends, [kind](const BackendCase& b) {
    return b.backend == Backend::kRef || (kind == Kind::kOther && b.factor_rounding > 0);
  });
  return ::testing::Combine(::testing::ValuesIn(problems), ::testing::ValuesIn(backends));
}

INSTANTIATE_TEST_SUITE_P(Conv2d, Parity, on_every_backend(conv2d_problems(), Kind::kProducts), parity_name);
INSTANTIATE_TEST_SUITE_P(Pool2d, Parity, on_every_backend(pool2d_problems(), Kind::kOther), parity_name);
INSTANTIATE_TEST_SUITE_P(Dense, Parity, on_every_backend(dense_problems(), Kind::kProducts), parity_name);
INSTANTIATE_TEST_SUITE_P(Dropout, Parity, on_every_backend(dropout_problems(), Kind::kOther), parity_name);
INSTANTIATE_TEST_SUITE_P(SoftmaxXent, Parity, on_every_backend(softmax_xent_problems(), Kind::kOther), parity_name);
INSTANTIATE_TEST_SUITE_P(Adam, Parity, on_every_backend(adam_problems(), Kind::kOther), parity_name);

}  // namespace
}  // namespace lockstep
