// SPDX-License-Identifier: Apache-2.0
// The tools that judge the kernels, judged: each must be able to fail.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/support/backends.h"
#include "tests/support/documented_bytes.h"
#include "tests/support/fault_file.h"
#include "tests/support/fill.h"
#include "tests/support/grad_check.h"
#include "tests/support/guarded.h"
#include "tests/support/kernel_case.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

TEST(DocumentedBytes, ReadsTheBlockThatIsAskedForWithoutItsComments) {
  const TmpDir dir;
  spill(dir.file("a.md"),
        "text\n```\n00\n```\nmore\n```\n08 ff          the head\n   \"a b\" 0a      0b\n…  gap\n01\n```\n");
  EXPECT_EQ(documented_bytes(dir.file("a.md"), 1), (std::vector<std::string>{"\x08\xff"
                                                                             "a b\n",
                                                                             "\x01"}));
}

TEST(DocumentedBytes, PiecesMustFillStartAndEndInOrder) {
  EXPECT_TRUE(holds_in_order("abcdef", {"abcdef"}));
  EXPECT_TRUE(holds_in_order("abcdef", {"ab", "d", "f"}));
  EXPECT_TRUE(holds_in_order("abcdef", {"ab", ""}));
  EXPECT_FALSE(holds_in_order("abcdef", {"abcde"}));
  EXPECT_FALSE(holds_in_order("abcdef", {"b", "f"}));
  EXPECT_FALSE(holds_in_order("abcdef", {"a", "e", "d", "f"}));
  EXPECT_FALSE(holds_in_order("abcdef", {"a", "x", ""}));
}

TEST(Guarded, NoticesAWriteOnEitherSide) {
#if defined(LOCKSTEP_ADDRESS_SANITIZER)
  GTEST_SKIP() << "AddressSanitizer stops the write itself";
#else
  for (const int64_t at : {-1, 5}) {
    Guarded<float> buffer(5, 1);
    EXPECT_TRUE(buffer.intact());
    *(buffer.data() + at) = 1;
    EXPECT_FALSE(buffer.intact()) << at;
  }
#endif
}

TEST(Guarded, StartsAsNansAndKeepsValues) {
  const Guarded<float> output(3);
  EXPECT_TRUE(std::isnan(output.data()[0]) && std::isnan(output.data()[2]));
  const Guarded<float> input(std::vector<float>{1, 2, 3}, 1);
  EXPECT_EQ(input.values(), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(input.data()) % 64, 4u);
}

TEST(Guarded, NoticesAChangedInput) {
  Guarded<float> input(std::vector<float>{1, 2, 3});
  EXPECT_TRUE(input.untouched());
  input.data()[1] = 5;
  EXPECT_FALSE(input.untouched());
}

TEST(GradCheck, AcceptsTheGradientAndRejectsAnother) {
  std::vector<float> x{0.5f, -1, 2};
  const auto loss = [&] { return weighted_sum(x, x); };
  EXPECT_TRUE(gradient_matches(x, std::vector<float>{1, -2, 4}, loss, {.what = "x"}));
  EXPECT_FALSE(gradient_matches(x, std::vector<float>{1, -2, 4.01f}, loss, {.what = "x"}));
  EXPECT_FALSE(gradient_matches(x, std::vector<float>{1, std::nanf(""), 4}, loss, {.what = "x"}));
  EXPECT_EQ(x, (std::vector<float>{0.5f, -1, 2}));
}

TEST(GradCheck, SkipsKinksButNotAllOfThem) {
  std::vector<float> x{0, 1, -1};
  const auto loss = [&] { return weighted_sum(std::vector<float>{1, 1, 1}, absolute(x)); };
  EXPECT_TRUE(gradient_matches(x, std::vector<float>{7, 1, -1}, loss, {.what = "x", .kink = 1e-6}));
  EXPECT_FALSE(
      gradient_matches(x, std::vector<float>{7, 1, -1}, loss, {.what = "x", .kink = 1e-6, .max_skipped = 0.1}));
}

TEST(Fill, DependsOnTheSeedOnly) {
  EXPECT_EQ(fill_uniform(50, 3), fill_uniform(50, 3));
  EXPECT_NE(fill_uniform(50, 3), fill_uniform(50, 4));
}

TEST(Fill, DistinctValuesAreDistinct) {
  const std::vector<float> values = fill_distinct(300, 1);
  EXPECT_EQ(std::set<float>(values.begin(), values.end()).size(), 300u);
}

TEST(Fill, GridValuesAreMultiplesOfAnEighth) {
  for (const float value : fill_grid(100, 1)) {
    EXPECT_EQ(std::floor(value * 8), value * 8);
    EXPECT_LE(std::abs(value), 1);
  }
}

TEST(Backends, ScopeRestrictsTheInstructionSet) {
  const std::string usual = simd_target_name();
  for (const BackendCase& backend : simd_backends()) {
    const ScopedBackend scope(backend);
    EXPECT_EQ("simd_" + simd_target_name(), backend.name);
  }
  EXPECT_EQ(simd_target_name(), usual);
}

template <typename Case>
void expect_unique_names(const std::vector<Case>& cases) {
  std::set<std::string> names;
  for (const Case& c : cases) EXPECT_TRUE(names.insert(c.name).second) << c.name;
}

TEST(KernelCases, NamesAreUnique) {
  expect_unique_names(conv2d_cases());
  expect_unique_names(pool2d_cases());
  expect_unique_names(dense_cases());
  expect_unique_names(dropout_cases());
  expect_unique_names(softmax_cases());
  expect_unique_names(adam_cases());
}

}  // namespace
}  // namespace lockstep
