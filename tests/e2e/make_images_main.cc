// SPDX-License-Identifier: Apache-2.0
// make_images DIRECTORY HEIGHT WIDTH DEPTH TRAIN TEST : raw IDX files of images that a small network can learn: noise,
// and a bright square whose place tells the class (0 to 9).
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/rng.h"
#include "core/base/status.h"

namespace lockstep {
namespace {

struct Shape {
  int height, width, depth;
};

std::string idx_header(const std::vector<int>& dimensions) {
  std::string header{0, 0, 8, static_cast<char>(dimensions.size())};
  for (const int d : dimensions) {
    for (int shift = 24; shift >= 0; shift -= 8) header += static_cast<char>(d >> shift);
  }
  return header;
}

// The squares of the ten classes lie on a grid of 2 x 5.
bool in_square(const Shape& shape, int label, int row, int column) {
  return row / ((shape.height + 1) / 2) == label / 5 && column / ((shape.width + 4) / 5) == label % 5;
}

std::string image(const Shape& shape, int label, const RngStream& rng) {
  std::string pixels;
  uint32_t element = 0;
  for (int row = 0; row < shape.height; ++row) {
    for (int column = 0; column < shape.width; ++column) {
      for (int channel = 0; channel < shape.depth; ++channel) {
        const uint32_t noise = rng.bits(element++) >> 25;  // below 128
        pixels += static_cast<char>(noise + (in_square(shape, label, row, column) ? 90 : 0));
      }
    }
  }
  return pixels;
}

absl::Status write_set(const std::string& directory, const std::string& prefix, const Shape& shape, int count,
                       uint64_t seed) {
  std::vector<int> dimensions{count, shape.height, shape.width};
  if (shape.depth > 1) dimensions.push_back(shape.depth);
  std::string images = idx_header(dimensions), labels = idx_header({count});
  for (int i = 0; i < count; ++i) {
    const RngStream rng(seed, RngPurpose::kTest, 0, static_cast<uint32_t>(i));
    const int label = static_cast<int>(rng.bits(0xffffff) % 10);
    images += image(shape, label, rng);
    labels += static_cast<char>(label);
  }
  LOCKSTEP_RETURN_IF_ERROR(write_file_atomic(join_path(directory, prefix + "-images-idx3-ubyte"), images));
  return write_file_atomic(join_path(directory, prefix + "-labels-idx1-ubyte"), labels);
}

absl::Status make_images(char** argv) {
  const Shape shape{std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4])};
  LOCKSTEP_RETURN_IF_ERROR(make_directories(argv[1]));
  LOCKSTEP_RETURN_IF_ERROR(write_set(argv[1], "train", shape, std::atoi(argv[5]), 1));
  return write_set(argv[1], "t10k", shape, std::atoi(argv[6]), 2);
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: make_images DIRECTORY HEIGHT WIDTH DEPTH TRAIN TEST\n");
    return 2;
  }
  const absl::Status status = lockstep::make_images(argv);
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
