// SPDX-License-Identifier: Apache-2.0
#include "serve/digit_image.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

namespace lockstep {
namespace {

constexpr int kLeastContrast = 16;  // grey levels between ink and background
constexpr float kGoodPeak = 230;    // a fainter digit is stretched to 255

// One channel, row-major.
template <typename T>
struct Plane {
  int height = 0, width = 0;
  std::vector<T> values;
  Plane(int h, int w) : height(h), width(w), values(static_cast<size_t>(h) * static_cast<size_t>(w)) {}
  T& at(int y, int x) { return values[static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)]; }
  T at(int y, int x) const {
    return values[static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)];
  }
};
using Bytes = Plane<uint8_t>;
using Floats = Plane<float>;

struct Box {
  int top = 0, left = 0, height = 0, width = 0;
};

// Weights of ITU-R BT.601.
int luminance(const uint8_t* rgb) { return (299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000; }

int over(int value, int alpha, int backdrop) { return (value * alpha + backdrop * (255 - alpha) + 127) / 255; }

// What transparent parts are laid over: white, unless the visible part is light itself.
int backdrop_of(const PngImage& image) {
  double ink = 0, weight = 0;
  for (size_t i = 0; i < image.rgba.size(); i += 4) {
    ink += double{1} * luminance(&image.rgba[i]) * image.rgba[i + 3];
    weight += image.rgba[i + 3];
  }
  return ink > 127 * weight ? 0 : 255;
}

// One number a pixel: its luminance, or one of its channels.
enum class Tone { kRed = 0, kGreen = 1, kBlue = 2, kLuminance };

Bytes to_grey(const PngImage& image, Tone tone) {
  Bytes grey(image.info.height, image.info.width);
  const int backdrop = image.transparent ? backdrop_of(image) : 255;
  for (size_t i = 0; i < grey.values.size(); ++i) {
    const uint8_t* pixel = &image.rgba[4 * i];
    const int value = tone == Tone::kLuminance ? luminance(pixel) : pixel[static_cast<size_t>(tone)];
    grey.values[i] = static_cast<uint8_t>(over(value, pixel[3], backdrop));
  }
  return grey;
}

struct BorderPixel {
  int y = 0, x = 0, value = 0;
};

std::vector<BorderPixel> border(const Bytes& grey) {
  std::vector<BorderPixel> pixels;
  const auto add = [&](int y, int x) { pixels.push_back({y, x, grey.at(y, x)}); };
  for (int x = 0; x < grey.width; ++x) {
    add(0, x);
    add(grey.height - 1, x);
  }
  for (int y = 1; y + 1 < grey.height; ++y) {
    add(y, 0);
    add(y, grey.width - 1);
  }
  return pixels;
}

// The value that a share `fraction` of them does not exceed.
template <typename T>
T quantile(std::vector<T> values, double fraction) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(fraction * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

// The grey level of paper: the same everywhere, or growing evenly in some direction, as under a lamp.
struct Background {
  double level = 0, by_y = 0, by_x = 0;
  int at(int y, int x) const { return static_cast<int>(std::lround(level + by_y * y + by_x * x)); }
  bool is_even() const { return by_y == 0 && by_x == 0; }
};

// How a picture tells ink from background: what differs from it in one direction by more than `noise`.
struct Contrast {
  Background background;
  int direction = 1;  // 1: light on dark
  int noise = 0;
  int strongest = 0;  // ink
  int ink(const Bytes& grey, int y, int x) const {
    const int paper = background.at(y, x), difference = direction * (grey.at(y, x) - paper);
    if (difference <= noise) return 0;
    // Light multiplies: where less of it falls, the same ink is nearer to its paper.
    return direction < 0 && !background.is_even() ? std::clamp(255 * difference / std::max(paper, 1), 0, 255)
                                                  : difference;
  }
  bool tells() const { return strongest >= kLeastContrast && strongest > noise; }
};

// Strokes may touch the border here and there. Four times what most of it deviates is far out for any noise.
int noise_of(const std::vector<BorderPixel>& frame, const Background& background) {
  constexpr double kMostOfTheBorder = 0.75;
  constexpr int kNoiseFactor = 4;
  std::vector<int> deviations;
  for (const BorderPixel& pixel : frame) deviations.push_back(std::abs(pixel.value - background.at(pixel.y, pixel.x)));
  return kNoiseFactor * quantile(std::move(deviations), kMostOfTheBorder);
}

// Least squares over the border's pixels, without those that were far from the plane before (strokes): the normal
// equations about the means, two by two.
Background fit_plane(const std::vector<BorderPixel>& frame, const Background& before, int reach) {
  double n = 0, y = 0, x = 0, v = 0, yy = 0, xx = 0, yx = 0, yv = 0, xv = 0;
  for (const BorderPixel& p : frame) {
    if (std::abs(p.value - before.at(p.y, p.x)) > reach) continue;
    n += 1, y += p.y, x += p.x, v += p.value;
    yy += double{1} * p.y * p.y, xx += double{1} * p.x * p.x, yx += double{1} * p.y * p.x;
    yv += double{1} * p.y * p.value, xv += double{1} * p.x * p.value;
  }
  if (n == 0) return before;
  yy -= y * y / n, xx -= x * x / n, yx -= y * x / n, yv -= y * v / n, xv -= x * v / n;
  const double determinant = yy * xx - yx * yx;
  if (determinant <= 1e-9 * yy * xx) return before;  // all in a line
  Background plane;
  plane.by_y = (yv * xx - xv * yx) / determinant;
  plane.by_x = (xv * yy - yv * yx) / determinant;
  plane.level = (v - plane.by_y * y - plane.by_x * x) / n;
  return plane;
}

Background measure_background(const std::vector<BorderPixel>& frame) {
  std::vector<int> values;
  for (const BorderPixel& pixel : frame) values.push_back(pixel.value);
  const Background even{static_cast<double>(quantile(std::move(values), 0.5)), 0, 0};
  const int noise = noise_of(frame, even);
  if (noise == 0) return even;
  // First of all pixels, then of those near the last plane.
  constexpr int kRounds = 4;
  Background plane = fit_plane(frame, even, 255);
  for (int i = 0; i < kRounds; ++i) plane = fit_plane(frame, plane, std::max(2, noise_of(frame, plane) / 2));
  return noise_of(frame, plane) < noise ? plane : even;
}

Contrast measure_contrast(const Bytes& grey) {
  const std::vector<BorderPixel> frame = border(grey);
  Contrast contrast;
  contrast.background = measure_background(frame);
  // Rounding alone puts a picture of a slope a level off here and there.
  constexpr int kNoiseOfASlope = 4;
  contrast.noise = std::max(noise_of(frame, contrast.background), contrast.background.is_even() ? 0 : kNoiseOfASlope);
  int below = 0, above = 0;
  for (int y = 0; y < grey.height; ++y) {
    for (int x = 0; x < grey.width; ++x) {
      const int difference = grey.at(y, x) - contrast.background.at(y, x);
      below = std::max(below, -difference);
      above = std::max(above, difference);
    }
  }
  contrast.direction = below > above ? -1 : 1;
  contrast.strongest = std::max(below, above);
  return contrast;
}

struct Reading {
  Bytes grey;
  Contrast contrast;
};

Reading read_tone(const PngImage& image, Tone tone) {
  Bytes grey = to_grey(image, tone);
  const Contrast contrast = measure_contrast(grey);
  return {std::move(grey), contrast};
}

// By luminance, or, when the ink is as light as the paper, by the channel in which they differ most.
Reading read_picture(const PngImage& image) {
  Reading best = read_tone(image, Tone::kLuminance);
  if (best.contrast.tells()) return best;
  for (const Tone tone : {Tone::kRed, Tone::kGreen, Tone::kBlue}) {
    Reading reading = read_tone(image, tone);
    const auto margin = [](const Reading& r) { return r.contrast.strongest - r.contrast.noise; };
    if (reading.contrast.tells() && (!best.contrast.tells() || margin(reading) > margin(best)))
      best = std::move(reading);
  }
  return best;
}

absl::Status nothing_stands_out(const Reading& reading, const std::string& name) {
  constexpr std::string_view kExpected =
      "expected one digit, dark on light or light on dark, with background at the border";
  const Contrast& contrast = reading.contrast;
  if (contrast.strongest >= kLeastContrast) {
    return absl::InvalidArgumentError(
        fmt::format("{}: nothing stands out from the border, which is not plain (it varies by {} grey levels, the "
                    "picture by {}): {}; crop the picture to plain paper round the digit",
                    name, contrast.noise, contrast.strongest, kExpected));
  }
  return absl::InvalidArgumentError(
      fmt::format("{}: blank: nothing stands out from the background (grey level {}, differences of at most {}): {}",
                  name, contrast.background.at(0, 0), contrast.strongest, kExpected));
}

Box find_ink(const Reading& reading) {
  const Bytes& grey = reading.grey;
  int top = grey.height, bottom = -1, left = grey.width, right = -1;
  for (int y = 0; y < grey.height; ++y) {
    for (int x = 0; x < grey.width; ++x) {
      if (reading.contrast.ink(grey, y, x) == 0) continue;
      top = std::min(top, y);
      bottom = y;
      left = std::min(left, x);
      right = std::max(right, x);
    }
  }
  return {top, left, bottom - top + 1, right - left + 1};
}

// The inputs that one output of a resize averages, first of them and weights.
struct Tap {
  int first = 0;
  std::vector<float> weights;
};

// A triangle as wide as an output pixel, at least as an input pixel, on either side of its centre: averages where the
// picture shrinks, interpolates where it grows, and copies where the sizes agree.
std::vector<Tap> make_taps(int from, int to) {
  const double scale = static_cast<double>(from) / to, reach = std::max(scale, 1.0);
  std::vector<Tap> taps;
  for (int i = 0; i < to; ++i) {
    const double centre = (i + 0.5) * scale;
    Tap tap;
    tap.first = std::max(0, static_cast<int>(centre - reach));
    double sum = 0;
    for (int x = tap.first; x < std::min(from, static_cast<int>(std::ceil(centre + reach))); ++x) {
      const double weight = std::max(0.0, 1 - std::abs(x + 0.5 - centre) / reach);
      tap.weights.push_back(static_cast<float>(weight));
      sum += weight;
    }
    for (float& weight : tap.weights) weight = static_cast<float>(weight / sum);
    taps.push_back(std::move(tap));
  }
  return taps;
}

// The part `box` of a picture at another size. value_at(y, x) is the picture.
template <typename ValueAt>
Floats resize(const Box& box, int height, int width, ValueAt&& value_at) {
  Floats rows(box.height, width);  // resized along x only
  const std::vector<Tap> across = make_taps(box.width, width), down = make_taps(box.height, height);
  for (int y = 0; y < box.height; ++y) {
    for (int x = 0; x < width; ++x) {
      const Tap& tap = across[static_cast<size_t>(x)];
      float sum = 0;
      for (size_t i = 0; i < tap.weights.size(); ++i) {
        sum += tap.weights[i] * static_cast<float>(value_at(box.top + y, box.left + tap.first + static_cast<int>(i)));
      }
      rows.at(y, x) = sum;
    }
  }
  Floats result(height, width);
  for (int y = 0; y < height; ++y) {
    const Tap& tap = down[static_cast<size_t>(y)];
    for (int x = 0; x < width; ++x) {
      float sum = 0;
      for (size_t i = 0; i < tap.weights.size(); ++i) {
        sum += tap.weights[i] * rows.at(tap.first + static_cast<int>(i), x);
      }
      result.at(y, x) = sum;
    }
  }
  return result;
}

uint8_t to_byte(float value) { return static_cast<uint8_t>(std::clamp(std::lround(value), 0L, 255L)); }

// Where the first of `length` values belongs among `side` so that their mean position lies at side / 2.
int centring_offset(std::span<const double> mass, int side) {
  double sum = 0, moment = 0;
  for (size_t i = 0; i < mass.size(); ++i) {
    sum += mass[i];
    moment += mass[i] * static_cast<double>(i);
  }
  const auto offset = static_cast<int>(std::lround(side / 2.0 - moment / sum));
  return std::clamp(offset, 0, side - static_cast<int>(mass.size()));
}

std::vector<uint8_t> centre(const Floats& digit, const ImageShape& input) {
  const float peak = *std::max_element(digit.values.begin(), digit.values.end());
  const float gain = peak < kGoodPeak ? 255 / peak : 1;
  std::vector<double> by_row(static_cast<size_t>(digit.height)), by_column(static_cast<size_t>(digit.width));
  for (int y = 0; y < digit.height; ++y) {
    for (int x = 0; x < digit.width; ++x) {
      by_row[static_cast<size_t>(y)] += static_cast<double>(digit.at(y, x));
      by_column[static_cast<size_t>(x)] += static_cast<double>(digit.at(y, x));
    }
  }
  const int top = centring_offset(by_row, input.height), left = centring_offset(by_column, input.width);
  Bytes result(input.height, input.width);
  for (int y = 0; y < digit.height; ++y) {
    for (int x = 0; x < digit.width; ++x) result.at(top + y, left + x) = to_byte(digit.at(y, x) * gain);
  }
  return std::move(result.values);
}

std::string describe(const PngImage& image) {
  return fmt::format("{}x{} {}{}", image.info.width, image.info.height, image.info.colour,
                     image.info.bit_depth == 8 ? "" : fmt::format(" of {} bits", image.info.bit_depth));
}

absl::StatusOr<PreparedImage> prepare_digit(const PngImage& image, const ImageShape& input, const std::string& name) {
  const Reading reading = read_picture(image);
  if (!reading.contrast.tells()) return nothing_stands_out(reading, name);
  const Box box = find_ink(reading);
  const double side = std::round(std::min(input.height, input.width) * 20.0 / 28);
  const double scale = std::max(1.0, side) / std::max(box.height, box.width);
  const int height = std::max(1, static_cast<int>(std::lround(box.height * scale)));
  const int width = std::max(1, static_cast<int>(std::lround(box.width * scale)));
  const Floats digit =
      resize(box, height, width, [&](int y, int x) { return reading.contrast.ink(reading.grey, y, x); });
  return PreparedImage{centre(digit, input),
                       fmt::format("{}, {}, digit of {}x{} scaled to {}x{} and centred", describe(image),
                                   reading.contrast.direction < 0 ? "dark on light" : "light on dark", box.width,
                                   box.height, width, height)};
}

PreparedImage prepare_colours(const PngImage& image, const ImageShape& input) {
  constexpr int kWhite = 255;
  PreparedImage result;
  result.how = fmt::format("{}, scaled to {}x{} and nothing else", describe(image), input.width, input.height);
  result.pixels.resize(static_cast<size_t>(input.size()));
  const Box whole{0, 0, image.info.height, image.info.width};
  for (int channel = 0; channel < input.depth; ++channel) {
    const Floats scaled = resize(whole, input.height, input.width, [&](int y, int x) {
      const uint8_t* pixel =
          &image.rgba[4 * (static_cast<size_t>(y) * static_cast<size_t>(image.info.width) + static_cast<size_t>(x))];
      return over(pixel[channel], pixel[3], kWhite);
    });
    for (size_t i = 0; i < scaled.values.size(); ++i) {
      result.pixels[i * static_cast<size_t>(input.depth) + static_cast<size_t>(channel)] = to_byte(scaled.values[i]);
    }
  }
  return result;
}

}  // namespace

absl::StatusOr<PreparedImage> prepare_image(const PngImage& image, const ImageShape& input, const std::string& name) {
  if (input.depth == 1) return prepare_digit(image, input, name);
  if (input.depth == 3) return prepare_colours(image, input);
  return absl::InvalidArgumentError(fmt::format(
      "{}: the network takes {} channels: pictures are read for 1 (grey) and 3 (RGB) only", name, input.depth));
}

}  // namespace lockstep
