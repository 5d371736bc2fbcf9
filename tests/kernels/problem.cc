// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/problem.h"

#include <algorithm>
#include <limits>

#include "tests/support/backends.h"
#include "tests/support/compare.h"

namespace lockstep {

std::string fill_name(Fill fill) {
  switch (fill) {
    case Fill::kUniform:
      return "uniform";
    case Fill::kCancelling:
      return "cancelling";
    case Fill::kGrid:
      return "grid";
    case Fill::kNonFinite:
      return "nonfinite";
    case Fill::kBlank:
      return "blank";
    case Fill::kBlankNonFinite:
      return "blank_nonfinite";
  }
  return "";
}

std::vector<float> fill_with(Fill fill, int64_t size, uint64_t seed) {
  if (fill == Fill::kCancelling) return fill_cancelling(size, seed);
  if (fill == Fill::kGrid) return fill_grid(size, seed);
  std::vector<float> values = fill_uniform(size, seed);
  if (fill == Fill::kBlank || fill == Fill::kBlankNonFinite) {
    for (size_t i = 0; i < values.size(); ++i) {
      if ((i / 16 + seed) % 3 != 0) values[i] = i % 5 == 0 ? -0.0f : 0.0f;
    }
  }
  if (fill == Fill::kNonFinite || fill == Fill::kBlankNonFinite) {
    constexpr float kInf = std::numeric_limits<float>::infinity();
    const float bad[] = {std::numeric_limits<float>::quiet_NaN(), kInf, -kInf};
    const size_t count = values.size();
    for (size_t i = 0; i < 3 && count > 0; ++i) values[(1 + 2 * i) * count / 7] = bad[(i + seed) % 3];
  }
  return values;
}

std::vector<Fill> product_fills() {
  std::vector<Fill> fills{Fill::kUniform, Fill::kCancelling, Fill::kNonFinite};
  if (std::ranges::any_of(backends_under_test(), [](const BackendCase& b) { return b.backend == Backend::kSimd; })) {
    fills.insert(fills.end(), {Fill::kBlank, Fill::kBlankNonFinite});
  }
  return fills;
}

GradSlices two_subtrees(int64_t examples) {
  const int64_t quarter = examples / 4;
  return {4, {0, quarter, quarter, examples / 2, 3 * examples / 4, examples}, {4, 1}};
}

PartialSums::PartialSums(const GradSlices& slices, int64_t size, int misalign)
    : size_(size), count_(static_cast<int64_t>(slices.subtrees.size())), buffer_(count_ * (size + kGap), misalign) {}

std::vector<float> PartialSums::values() const {
  std::vector<float> values;
  for (int64_t t = 0; t < count_; ++t) {
    const float* begin = buffer_.data() + t * (size_ + kGap);
    values.insert(values.end(), begin, begin + size_);
  }
  return values;
}

::testing::AssertionResult PartialSums::intact() const {
  for (int64_t i = 0; i < count_ * (size_ + kGap); ++i) {
    const bool in_gap = i % (size_ + kGap) >= size_;
    if (in_gap && !std::isnan(buffer_.data()[i])) {
      return ::testing::AssertionFailure() << "the gap behind partial sum " << i / (size_ + kGap) << " was written to";
    }
  }
  return buffer_.intact();
}

std::vector<float> as_floats(const Guarded<uint8_t>& values) {
  const auto span = values.span();
  return {span.begin(), span.end()};
}

void expect_same_packed(int64_t floats, const std::function<absl::Status(float* packed)>& pack,
                        const std::function<absl::Status(const float* packed, float* y)>& forward,
                        const Guarded<float>& y, int misalign) {
  Guarded<float> packed(floats, misalign);
  const absl::Status status = pack(packed.data());
  if (floats == 0) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return;
  }
  EXPECT_TRUE(status.ok()) << status;
  expect_intact(packed);
  const auto size = static_cast<int64_t>(y.values().size());
  Guarded<float> again(size, misalign);
  EXPECT_TRUE(forward(packed.data(), again.data()).ok());
  expect_intact(again);
  EXPECT_TRUE(
      same_bits(y.values(), again.values(),
                {.what = "y of packed weights", .dims = {size}, .shape = "", .backend = "", .max_repeated = 1}));
}

}  // namespace lockstep
