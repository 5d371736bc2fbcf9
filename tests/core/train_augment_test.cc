// SPDX-License-Identifier: Apache-2.0
#include "core/train/augment.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/base/rng.h"

namespace lockstep {
namespace {

constexpr ImageShape kShape{7, 5, 2};

std::vector<uint8_t> random_images(int examples) {
  const RngStream rng(1, RngPurpose::kTest, 0, 0);
  std::vector<uint8_t> images(static_cast<size_t>(examples * kShape.size()));
  for (size_t i = 0; i < images.size(); ++i) images[i] = static_cast<uint8_t>(rng.bits(static_cast<uint32_t>(i)));
  return images;
}

std::vector<float> augmented(const AugmentParams& params, const std::vector<uint8_t>& images, uint32_t first = 0,
                             ThreadPool* pool = nullptr, uint64_t step = 3) {
  std::vector<float> out(images.size());
  const int64_t examples = static_cast<int64_t>(images.size()) / kShape.size();
  augment_images(pool, params, kShape, step, first, examples, images.data(), out.data());
  return out;
}

// A rotation too small to move anything still runs the whole sampling path.
TEST(Augment, TinyTransformKeepsTheImage) {
  const auto images = random_images(3);
  const auto out = augmented({.shift = 0, .rotate = 1e-7, .seed = 1}, images);
  for (size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i], images[i] / 255.0f, 1e-5) << i;
}

TEST(Augment, ShiftMovesTheMassAndLosesItAtTheEdge) {
  std::vector<uint8_t> image(static_cast<size_t>(kShape.size()));
  image[(3 * 5 + 2) * 2] = 255;  // the centre, channel 0
  const AugmentParams params{.shift = 1.5, .rotate = 0, .seed = 4};
  const auto out = augmented(params, image);
  // The values that the sampler must have used, drawn again.
  const Philox::Block bits = RngStream(4, RngPurpose::kAugment, 3, 0).quad(0);
  const float row = 3 + (2 * RngStream::to_uniform(bits[0]) - 1) * 1.5f;
  const float column = 2 + (2 * RngStream::to_uniform(bits[1]) - 1) * 1.5f;
  float sum = 0, mean_row = 0, mean_column = 0;
  for (int r = 0; r < 7; ++r) {
    for (int c = 0; c < 5; ++c) {
      const float value = out[static_cast<size_t>((r * 5 + c) * 2)];
      sum += value;
      mean_row += value * static_cast<float>(r);
      mean_column += value * static_cast<float>(c);
      EXPECT_EQ(out[static_cast<size_t>((r * 5 + c) * 2 + 1)], 0.0f);
    }
  }
  EXPECT_NEAR(sum, 1, 1e-5);
  EXPECT_NEAR(mean_row, row, 1e-4);
  EXPECT_NEAR(mean_column, column, 1e-4);
}

TEST(Augment, AnImageDependsOnItsPlaceInTheGlobalBatchAlone) {
  const AugmentParams params{.shift = 2, .rotate = 20, .seed = 9};
  const auto images = random_images(6);
  const auto whole = augmented(params, images);
  const size_t half = images.size() / 2;
  const auto second = augmented(params, {images.begin() + static_cast<int64_t>(half), images.end()}, 3);
  EXPECT_EQ(second, std::vector<float>(whole.begin() + static_cast<int64_t>(half), whole.end()));
  ThreadPool pool(3);
  EXPECT_EQ(augmented(params, images, 0, &pool), whole);
}

TEST(Augment, EveryStepDrawsAnew) {
  const AugmentParams params{.shift = 2, .rotate = 20, .seed = 9};
  const auto images = random_images(1);
  EXPECT_NE(augmented(params, images, 0, nullptr, 3), augmented(params, images, 0, nullptr, 4));
}

}  // namespace
}  // namespace lockstep
