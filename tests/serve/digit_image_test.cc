// SPDX-License-Identifier: Apache-2.0
#include "serve/digit_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "core/base/rng.h"
#include "io/batch_source.h"
#include "tests/io/io_fixtures.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr ImageShape kMnist{28, 28, 1};
constexpr int kSide = 28;
using Pixels = std::vector<uint8_t>;

std::vector<Pixels> mnist_images(int count) {
  const auto data = open_dataset(std::string(LOCKSTEP_SOURCE_DIR) + "/data/mnist", Split::kTest, {});
  EXPECT_TRUE(data.ok()) << data.status();
  std::vector<Pixels> images;
  for (int64_t i = 0; i < count; ++i) {
    images.emplace_back(static_cast<size_t>(kMnist.size()));
    int32_t label;
    EXPECT_TRUE((*data)->read({&i, 1}, images.back().data(), &label).ok());
  }
  return images;
}

// A picture whose pixel (y, x) is colour(y, x), an array of RGBA.
template <typename Colour>
PngImage picture(int height, int width, Colour&& colour) {
  PngImage image;
  image.info = {.height = height, .width = width, .colour = "RGB with alpha"};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const std::array<int, 4> rgba = colour(y, x);
      for (const int sample : rgba) image.rgba.push_back(static_cast<uint8_t>(sample));
      image.transparent = image.transparent || rgba[3] != 255;
    }
  }
  return image;
}

// `digit` on a canvas, each pixel `zoom` wide, its corner at (top, left); ink 0..255 through `colour`.
template <typename Colour>
PngImage drawing(const Pixels& digit, int zoom, int height, int width, int top, int left, Colour&& colour) {
  return picture(height, width, [&](int y, int x) {
    const int row = (y - top) / zoom, column = (x - left) / zoom;
    const bool inside = y >= top && x >= left && row < kSide && column < kSide;
    return colour(inside ? static_cast<int>(digit[static_cast<size_t>(row * kSide + column)]) : 0);
  });
}

std::array<int, 4> light_on_dark(int ink) { return {ink, ink, ink, 255}; }
std::array<int, 4> dark_on_light(int ink) { return {255 - ink, 255 - ink, 255 - ink, 255}; }

Pixels prepared(const PngImage& image, const ImageShape& input = kMnist) {
  const auto result = prepare_image(image, input, "p.png");
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->pixels : Pixels();
}

double mean_difference(const Pixels& a, const Pixels& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
  return sum / static_cast<double>(a.size());
}

int peak(const Pixels& pixels) { return *std::max_element(pixels.begin(), pixels.end()); }

TEST(DigitImage, ImagesOfMnistComeOutAsTheyWentIn) {
  for (const Pixels& digit : mnist_images(1000)) {
    ASSERT_EQ(prepared(drawing(digit, 1, kSide, kSide, 0, 0, light_on_dark)), digit);
    ASSERT_EQ(prepared(drawing(digit, 1, kSide, kSide, 0, 0, dark_on_light)), digit);
  }
}

TEST(DigitImage, PlaceSizeAndColourOfTheDrawingDoNotMatter) {
  const auto blue_on_yellow = [](int ink) { return std::array<int, 4>{255 - ink, 255 - ink, 40 + ink / 4, 255}; };
  for (const Pixels& digit : mnist_images(20)) {
    EXPECT_EQ(prepared(drawing(digit, 1, 90, 60, 55, 30, dark_on_light)), digit);
    // A zoomed pixel is a block, and averaging smears it over its neighbours.
    for (const int zoom : {3, 10, 25}) {
      const int height = zoom * kSide + 50, width = zoom * kSide + 150;
      EXPECT_LT(mean_difference(prepared(drawing(digit, zoom, height, width, 17, 99, light_on_dark)), digit), 8)
          << zoom;
      EXPECT_LT(mean_difference(prepared(drawing(digit, zoom, height, width, 17, 99, blue_on_yellow)), digit), 10)
          << zoom;
    }
  }
}

TEST(DigitImage, SmallDrawingOnALargeCanvasIsFound) {
  for (const Pixels& digit : mnist_images(4)) {
    EXPECT_LT(mean_difference(prepared(drawing(digit, 3, 800, 900, 17, 99, light_on_dark)), digit), 8);
    EXPECT_LT(mean_difference(prepared(drawing(digit, 3, 800, 900, 680, 770, light_on_dark)), digit), 8);
  }
}

// Of the best of nine places: where the centre of mass lies between two pixels, a trifle decides.
double difference_but_for_a_pixel(const Pixels& a, const Pixels& b) {
  double least = 255;
  for (int dy = -1; dy <= 1; ++dy) {
    for (int dx = -1; dx <= 1; ++dx) {
      Pixels moved(a.size());
      for (int y = 0; y < kSide; ++y) {
        for (int x = 0; x < kSide; ++x) {
          const bool inside = y + dy >= 0 && y + dy < kSide && x + dx >= 0 && x + dx < kSide;
          moved[static_cast<size_t>(y * kSide + x)] = inside ? a[static_cast<size_t>((y + dy) * kSide + x + dx)] : 0;
        }
      }
      least = std::min(least, mean_difference(moved, b));
    }
  }
  return least;
}

// Paper that grows lighter across the picture, as under a lamp at its side, by `change` grey levels.
PngImage lit_paper(const Pixels& digit, double by_y, double by_x) {
  constexpr int kZoom = 5, kHeight = 200, kWidth = 240, kTop = 30, kLeft = 50, kInk = 30, kDarkest = 150;
  return picture(kHeight, kWidth, [&](int y, int x) {
    const double paper = kDarkest + by_y * y / kHeight + by_x * x / kWidth;
    const int row = (y - kTop) / kZoom, column = (x - kLeft) / kZoom;
    const bool inside = y >= kTop && x >= kLeft && row < kSide && column < kSide;
    const double ink = inside ? digit[static_cast<size_t>(row * kSide + column)] / 255.0 : 0;
    const int grey = static_cast<int>(std::lround(paper + (kInk - paper) * ink));
    return std::array<int, 4>{grey, grey, grey, 255};
  });
}

TEST(DigitImage, UnevenLightDoesNotMatter) {
  for (const Pixels& digit : mnist_images(20)) {
    for (const auto& [by_y, by_x] : {std::pair(0.0, 90.0), {90.0, 0.0}, {45.0, 45.0}}) {
      EXPECT_LT(difference_but_for_a_pixel(prepared(lit_paper(digit, by_y, by_x)), digit), 10) << by_y << " " << by_x;
    }
  }
}

TEST(DigitImage, ColourTellsInkOfTheSameLuminance) {
  const auto red_on_green = [](int ink) { return std::array<int, 4>{ink * 200 / 255, 102 - ink * 102 / 255, 0, 255}; };
  const auto blue_on_red = [](int ink) { return std::array<int, 4>{76 - ink * 76 / 255, 0, ink * 200 / 255, 255}; };
  for (const Pixels& digit : mnist_images(20)) {
    EXPECT_LT(mean_difference(prepared(drawing(digit, 4, 150, 150, 17, 19, red_on_green)), digit), 8);
    EXPECT_LT(mean_difference(prepared(drawing(digit, 4, 150, 150, 17, 19, blue_on_red)), digit), 8);
  }
}

TEST(DigitImage, BorderThatIsNotPlainIsNamed) {
  const auto squares = [](int y, int x) { return light_on_dark((y / 8 + x / 8) % 2 == 0 ? 255 : 0); };
  const auto status = prepare_image(picture(100, 100, squares), kMnist, "p.png").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("p.png"), HasSubstr("border, which is not plain")));
}

TEST(DigitImage, SmallDrawingsGrow) {
  const PngImage tiny = picture(7, 7, [](int y, int x) { return light_on_dark(x == 3 && y >= 1 && y <= 5 ? 255 : 0); });
  const Pixels pixels = prepared(tiny);
  int rows = 0;
  for (size_t y = 0; y < kSide; ++y) {
    rows += std::any_of(pixels.begin() + y * kSide, pixels.begin() + (y + 1) * kSide, [](uint8_t p) { return p > 0; });
  }
  EXPECT_EQ(rows, 20);
  EXPECT_EQ(peak(pixels), 255);
}

TEST(DigitImage, TransparentPartsAreBackground) {
  const Pixels digit = mnist_images(1)[0];
  // What lies under full transparency must not show.
  const auto black_ink = [](int ink) { return std::array<int, 4>{0, 0, 0, ink}; };
  const auto white_ink = [](int ink) { return std::array<int, 4>{255, 255, 255, ink}; };
  EXPECT_EQ(prepared(drawing(digit, 1, kSide, kSide, 0, 0, black_ink)), digit);
  EXPECT_EQ(prepared(drawing(digit, 1, kSide, kSide, 0, 0, white_ink)), digit);
}

TEST(DigitImage, FaintDigitsAreStretched) {
  const Pixels digit = mnist_images(1)[0];
  const auto pencil = [](int ink) { return light_on_dark(100 + ink / 5); };
  const Pixels result = prepared(drawing(digit, 1, kSide, kSide, 0, 0, pencil));
  EXPECT_EQ(peak(result), 255);
  EXPECT_LT(mean_difference(result, digit), 3);
}

TEST(DigitImage, NoiseOfTheBackgroundIsNoInk) {
  const Pixels digit = mnist_images(1)[0];
  const RngStream noise(7, RngPurpose::kTest, 0, 0);
  uint32_t drawn = 0;
  const PngImage noisy = drawing(digit, 10, 400, 400, 60, 60, [&](int ink) {
    return dark_on_light(std::min(255, ink * 9 / 10 + static_cast<int>(noise.bits(drawn++) % 12)));
  });
  const Pixels clean = prepared(drawing(digit, 10, 400, 400, 60, 60, dark_on_light));
  EXPECT_LT(mean_difference(prepared(noisy), clean), 4);
}

TEST(DigitImage, CentreOfMassLiesAtTheCentre) {
  // An L: its mass is far from the middle of its box.
  const PngImage l = picture(100, 100, [](int y, int x) {
    const bool ink = (x >= 20 && x < 30 && y >= 10 && y < 90) || (y >= 80 && y < 90 && x >= 20 && x < 70);
    return dark_on_light(ink ? 255 : 0);
  });
  const Pixels pixels = prepared(l);
  double sum = 0, by_y = 0, by_x = 0;
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const double ink = pixels[static_cast<size_t>(y * kSide + x)];
      sum += ink;
      by_y += ink * y;
      by_x += ink * x;
    }
  }
  EXPECT_NEAR(by_y / sum, 14, 0.51);
  EXPECT_NEAR(by_x / sum, 14, 0.51);
}

TEST(DigitImage, OtherInputsKeepTheProportion) {
  const PngImage bar =
      picture(50, 50, [](int y, int x) { return light_on_dark(x > 20 && x < 30 && y > 4 && y < 45 ? 255 : 0); });
  const Pixels pixels = prepared(bar, {42, 56, 1});
  ASSERT_EQ(pixels.size(), 42u * 56u);
  int rows = 0;
  for (size_t y = 0; y < 42; ++y)
    rows += std::any_of(pixels.begin() + y * 56, pixels.begin() + (y + 1) * 56, [](uint8_t p) { return p > 0; });
  EXPECT_EQ(rows, 30);
  EXPECT_EQ(prepared(bar, {1, 1, 1}).size(), 1u);
}

TEST(DigitImage, ThinAndTinyPicturesAreNoTrouble) {
  const auto one_dot = [](int y, int x) { return light_on_dark(x + y == 3 ? 255 : 0); };
  EXPECT_EQ(peak(prepared(picture(1, 2000, one_dot))), 255);
  EXPECT_EQ(peak(prepared(picture(2000, 1, one_dot))), 255);
  EXPECT_EQ(peak(prepared(picture(3, 4, one_dot))), 255);
}

TEST(DigitImage, BlankPicturesAreRefused) {
  for (const int side : {1, 2, 28, 300}) {
    const auto grey = picture(side, side, [](int y, int x) { return light_on_dark(200 + (x + y) % 3); });
    const absl::Status status = prepare_image(grey, kMnist, "p.png").status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(message_of(status), HasSubstr("p.png: blank: nothing stands out from the background"));
  }
  const auto clear = picture(9, 9, [](int, int) { return std::array<int, 4>{0, 0, 0, 0}; });
  EXPECT_FALSE(prepare_image(clear, kMnist, "p.png").ok());
}

TEST(DigitImage, SaysWhatItDid) {
  const auto bar =
      picture(50, 40, [](int y, int x) { return dark_on_light(x >= 20 && x < 30 && y >= 5 && y < 45 ? 255 : 0); });
  EXPECT_EQ(prepare_image(bar, kMnist, "p.png")->how,
            "40x50 RGB with alpha, dark on light, digit of 10x40 scaled to 5x20 and centred");
}

TEST(DigitImage, ColourNetworksGetTheWholePicture) {
  const auto halves = picture(2, 4, [](int, int x) {
    return x < 2 ? std::array<int, 4>{200, 10, 20, 255} : std::array<int, 4>{30, 40, 220, 0};
  });
  const auto result = prepare_image(halves, {1, 2, 3}, "p.png");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->how, HasSubstr("scaled to 2x1 and nothing else"));
  // The triangle reaches one pixel over: (2 * 200 * .75 + 255 * .25) / 1.75 and so on.
  const auto same = prepare_image(halves, {2, 4, 3}, "p.png");
  EXPECT_THAT(Pixels(same->pixels.begin(), same->pixels.begin() + 6), ElementsAre(200, 10, 20, 200, 10, 20));
  EXPECT_THAT(Pixels(same->pixels.begin() + 6, same->pixels.begin() + 12), Each(255));
  EXPECT_GT(result->pixels[0], 200);
  EXPECT_LT(result->pixels[1], 80);
  EXPECT_GT(result->pixels[3], 240);
}

TEST(DigitImage, OtherDepthsAreRefused) {
  const auto dot = picture(3, 3, [](int y, int x) { return light_on_dark(x == 1 && y == 1 ? 255 : 0); });
  EXPECT_THAT(message_of(prepare_image(dot, {28, 28, 2}, "p.png").status()),
              AllOf(HasSubstr("p.png"), HasSubstr("takes 2 channels")));
}

}  // namespace
}  // namespace lockstep
