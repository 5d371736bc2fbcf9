// SPDX-License-Identifier: Apache-2.0
#include "core/train/augment.h"

#include <cmath>
#include <numbers>

#include "core/base/rng.h"

namespace lockstep {
namespace {

// Source position of output pixel (row, column): (a*row + b*column + c, -b*row + a*column + d), in pixels.
struct Transform {
  float a = 1, b = 0, c = 0, d = 0;
};

Transform random_transform(const AugmentParams& params, ImageShape shape, const RngStream& rng) {
  const Philox::Block bits = rng.quad(0);
  const auto symmetric = [&bits](size_t i) { return 2.0 * static_cast<double>(RngStream::to_uniform(bits[i])) - 1.0; };
  const double shift_row = symmetric(0) * params.shift, shift_column = symmetric(1) * params.shift;
  const double angle = symmetric(2) * params.rotate * std::numbers::pi / 180;
  const double sine = std::sin(angle), cosine = std::cos(angle);
  const double centre_row = (shape.height - 1) / 2.0, centre_column = (shape.width - 1) / 2.0;
  // Rotate about the centre, then shift: source = R (output - centre - shift) + centre.
  const double from_row = -centre_row - shift_row, from_column = -centre_column - shift_column;
  return {static_cast<float>(cosine), static_cast<float>(sine),
          static_cast<float>(cosine * from_row + sine * from_column + centre_row),
          static_cast<float>(-sine * from_row + cosine * from_column + centre_column)};
}

class Sampler {
 public:
  Sampler(ImageShape shape, const uint8_t* image) : shape_(shape), image_(image) {}

  float at(float row, float column, int channel) const {
    const float low_row = std::floor(row), low_column = std::floor(column);
    const float part_row = row - low_row, part_column = column - low_column;
    const int r = static_cast<int>(low_row), c = static_cast<int>(low_column);
    const float top = mix(pixel(r, c, channel), pixel(r, c + 1, channel), part_column);
    const float bottom = mix(pixel(r + 1, c, channel), pixel(r + 1, c + 1, channel), part_column);
    return mix(top, bottom, part_row);
  }

 private:
  static float mix(float from, float to, float part) { return from + (to - from) * part; }
  float pixel(int row, int column, int channel) const {
    if (row < 0 || row >= shape_.height || column < 0 || column >= shape_.width) return 0;
    return image_[(int64_t{row} * shape_.width + column) * shape_.depth + channel];
  }

  ImageShape shape_;
  const uint8_t* image_;
};

void augment_image(const Transform& t, ImageShape shape, const uint8_t* image, float* out) {
  const Sampler sampler(shape, image);
  for (int row = 0; row < shape.height; ++row) {
    for (int column = 0; column < shape.width; ++column) {
      const float from_row = t.a * static_cast<float>(row) + t.b * static_cast<float>(column) + t.c;
      const float from_column = t.a * static_cast<float>(column) - t.b * static_cast<float>(row) + t.d;
      for (int channel = 0; channel < shape.depth; ++channel) {
        *out++ = sampler.at(from_row, from_column, channel) * (1.0f / 255);
      }
    }
  }
}

}  // namespace

void augment_images(ThreadPool* pool, const AugmentParams& params, ImageShape shape, uint64_t step,
                    uint32_t first_example, int64_t examples, const uint8_t* images, float* out) {
  parallel_for(pool, examples, [&](int64_t n, int) {
    const RngStream rng(params.seed, RngPurpose::kAugment, step, first_example + static_cast<uint32_t>(n));
    augment_image(random_transform(params, shape, rng), shape, images + n * shape.size(), out + n * shape.size());
  });
}

}  // namespace lockstep
