// SPDX-License-Identifier: Apache-2.0
// Every operator, every case, every instruction set against the oracle.
#include <gtest/gtest.h>

#include <algorithm>
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

// A chain of n additions makes n rounding errors of either sign, which add up like a random walk.
double error_constant(const ProblemCase& problem, const Output& output) {
  return problem.c + std::sqrt(static_cast<double>(output.terms)) / 2;
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
        tolerances(error_constant(problem, expected), finite_scales(reference.scales[i].values));
    EXPECT_TRUE(close_to(expected.values, got[i].values, tol, context));
  }
}

std::string parity_name(const ::testing::TestParamInfo<Parity::ParamType>& info) {
  return std::get<0>(info.param).name + "_" + std::get<1>(info.param).name;
}

auto on_every_instruction_set(const std::vector<ProblemCase>& problems) {
  return ::testing::Combine(::testing::ValuesIn(problems), ::testing::ValuesIn(simd_backends()));
}

INSTANTIATE_TEST_SUITE_P(Conv2d, Parity, on_every_instruction_set(conv2d_problems()), parity_name);
INSTANTIATE_TEST_SUITE_P(Pool2d, Parity, on_every_instruction_set(pool2d_problems()), parity_name);
INSTANTIATE_TEST_SUITE_P(Dense, Parity, on_every_instruction_set(dense_problems()), parity_name);
INSTANTIATE_TEST_SUITE_P(Dropout, Parity, on_every_instruction_set(dropout_problems()), parity_name);
INSTANTIATE_TEST_SUITE_P(SoftmaxXent, Parity, on_every_instruction_set(softmax_xent_problems()), parity_name);
INSTANTIATE_TEST_SUITE_P(Adam, Parity, on_every_instruction_set(adam_problems()), parity_name);

}  // namespace
}  // namespace lockstep
