// SPDX-License-Identifier: Apache-2.0
// Lockstep arithmetic of the kernels: instruction sets with fused multiply-add, any number of threads, any order of a
// GPU's threads and any run on a GPU give the same bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "tests/kernels/problem.h"
#include "tests/support/backends.h"
#include "tests/support/compare.h"

namespace lockstep {
namespace {

void expect_same_bits(const Problem& problem, const Outputs& expected, const Outputs& got, const std::string& backend,
                      uint64_t seed) {
  ASSERT_EQ(expected.size(), got.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const CompareContext context{expected[i].name, expected[i].dims, problem.shape(), backend, seed};
    EXPECT_TRUE(same_bits(expected[i].values, got[i].values, context));
  }
}

std::vector<ProblemCase> all_problems() {
  std::vector<ProblemCase> all;
  for (const auto& problems : {conv2d_problems(), pool2d_problems(), dense_problems(), dropout_problems(),
                               softmax_xent_problems(), adam_problems()}) {
    all.insert(all.end(), problems.begin(), problems.end());
  }
  return all;
}

class Lockstep : public ::testing::TestWithParam<ProblemCase> {};

void expect_same_bits_in(const std::vector<BackendCase>& group, const ProblemCase& problem_case) {
  const std::unique_ptr<Problem> problem = problem_case.make();
  Outputs expected;
  for (const BackendCase& backend : group) {
    const ScopedBackend scope(backend);
    const Outputs got = problem->run(scope.context());
    if (expected.empty()) expected = got;
    expect_same_bits(*problem, expected, got, backend.name, problem_case.seed);
  }
}

TEST_P(Lockstep, InstructionSetsThreadOrdersAndRunsGiveTheSameBits) {
  const std::vector<std::vector<BackendCase>> groups = same_bits_backends();
  if (groups.empty() || groups.front().size() < 2) {
    GTEST_SKIP() << "this machine has fewer than two backends that could differ";
  }
  expect_same_bits_in(groups.front(), GetParam());
}

// A GPU's: rounded factors, and a library.
TEST_P(Lockstep, OtherArithmeticsGiveTheSameBits) {
  const std::vector<std::vector<BackendCase>> groups = same_bits_backends();
  if (groups.size() < 2) GTEST_SKIP() << "there is no other arithmetic";
  for (size_t g = 1; g < groups.size(); ++g) expect_same_bits_in(groups[g], GetParam());
}

TEST_P(Lockstep, ThreadCountsGiveTheSameBits) {
  const std::unique_ptr<Problem> problem = GetParam().make();
  const Outputs expected = problem->run({Backend::kSimd});
  for (const int threads : {1, 2, 3, 11}) {  // more than the problems have slices
    ThreadPool pool(threads);
    const Outputs got = problem->run({Backend::kSimd, &pool});
    expect_same_bits(*problem, expected, got, "simd with " + std::to_string(threads) + " threads", GetParam().seed);
  }
}

std::string problem_name(const ::testing::TestParamInfo<ProblemCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(All, Lockstep, ::testing::ValuesIn(all_problems()), problem_name);

}  // namespace
}  // namespace lockstep
