// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fill.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/rng.h"

namespace lockstep {
namespace {

// Numbers of one fill; `stream` tells several draws per element apart.
float draw(uint64_t seed, uint64_t stream, int64_t index) {
  return RngStream(seed, RngPurpose::kTest, stream, 0).uniform(static_cast<uint32_t>(index));
}

int64_t draw_below(int64_t bound, uint64_t seed, uint64_t stream, int64_t index) {
  return static_cast<int64_t>(draw(seed, stream, index) * static_cast<float>(bound));
}

template <typename Make>
std::vector<float> generate(int64_t size, Make&& make) {
  std::vector<float> values(static_cast<size_t>(size));
  for (int64_t i = 0; i < size; ++i) values[static_cast<size_t>(i)] = make(i);
  return values;
}

}  // namespace

std::vector<float> fill_uniform(int64_t size, uint64_t seed, float low, float high) {
  return generate(size, [&](int64_t i) { return low + (high - low) * draw(seed, 0, i); });
}

std::vector<float> fill_cancelling(int64_t size, uint64_t seed) {
  return generate(size, [&](int64_t i) {
    const float magnitude = std::ldexp(1 + draw(seed, 0, i), static_cast<int>(draw_below(12, seed, 1, i)) - 8);
    return draw(seed, 2, i) < 0.5f ? -magnitude : magnitude;
  });
}

std::vector<float> fill_grid(int64_t size, uint64_t seed) {
  return generate(size, [&](int64_t i) { return static_cast<float>(draw_below(17, seed, 0, i) - 8) / 8; });
}

std::vector<float> fill_distinct(int64_t size, uint64_t seed) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = size - 1; i > 0; --i) {
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(draw_below(i + 1, seed, 0, i))]);
  }
  return generate(size, [&](int64_t i) {
    return -1 + 2 * static_cast<float>(order[static_cast<size_t>(i)]) / static_cast<float>(size);
  });
}

std::vector<float> fill_logits(int64_t rows, int columns, uint64_t seed) {
  return generate(rows * columns, [&](int64_t i) {
    const int64_t row = i / columns;
    constexpr float kOffsets[] = {0, 1000, -1000, 20, -5};
    constexpr float kSpreads[] = {1, 10, 300};
    return kOffsets[row % 5] + kSpreads[row % 3] * (2 * draw(seed, 0, i) - 1);
  });
}

std::vector<int32_t> fill_labels(int64_t rows, int columns, uint64_t seed) {
  std::vector<int32_t> labels;
  for (int64_t n = 0; n < rows; ++n) labels.push_back(static_cast<int32_t>(draw_below(columns, seed, 9, n)));
  return labels;
}

std::vector<float> absolute(std::vector<float> values) {
  for (float& value : values) value = std::abs(value);
  return values;
}

}  // namespace lockstep
