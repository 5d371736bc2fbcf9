// SPDX-License-Identifier: Apache-2.0
// Prints what conv2d_plan.h plans for many shapes, for check_conv2d_plan.py. A line is "KIND [MATH] INPUT… :
// NAME=VALUE…".
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/conv2d/conv2d_plan.h"
#include "tests/support/kernel_case.h"

namespace lockstep::cuda {
namespace {

struct NamedMath {
  ConvMath math;
  std::string_view name;
};
constexpr std::array<NamedMath, 3> kMaths = {
    {{ConvMath::kFloat, "Float"}, {ConvMath::kTf32, "Tf32"}, {ConvMath::kBf16, "Bf16"}}};

// Larger than what the kernels are tested with: many tiles, one dimension alone, images that share a block, filters
// whose patches fit nowhere.
std::vector<Conv2dParams> large_shapes() {
  return {
      {.N = 1, .H = 224, .W = 224, .C = 3, .K = 64, .R = 7, .S = 7, .stride = 2},
      {.N = 1, .H = 113, .W = 97, .C = 64, .K = 33, .R = 3, .S = 3},
      {.N = 1, .H = 1, .W = 3001, .C = 12, .K = 32, .R = 1, .S = 9},
      {.N = 1, .H = 1900, .W = 2, .C = 40, .K = 65, .R = 5, .S = 1},
      {.N = 1, .H = 512, .W = 300, .C = 1, .K = 8, .R = 5, .S = 5},
      {.N = 1, .H = 5, .W = 900, .C = 1, .K = 96, .R = 3, .S = 3, .padding = Padding::kValid},
      {.N = 1, .H = 2, .W = 2, .C = 512, .K = 512, .R = 3, .S = 3},
      {.N = 1, .H = 7, .W = 7, .C = 2048, .K = 128, .R = 1, .S = 1},
      {.N = 1, .H = 15, .W = 17, .C = 96, .K = 100, .R = 11, .S = 11, .stride = 4},
      {.N = 1, .H = 80, .W = 80, .C = 32, .K = 32, .R = 63, .S = 63},
      {.N = 1, .H = 31, .W = 45, .C = 20, .K = 24, .R = 3, .S = 3, .stride = 3, .padding = Padding::kValid},
  };
}

std::string text(const ConvShape& s) {
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {}", s.H, s.W, s.C, s.OH, s.OW, s.K, s.R, s.S, s.stride, s.pad_h,
                     s.pad_w);
}

std::string text(const PatchTile& t) {
  return fmt::format(
      "images={} quads_h={} quads_w={} tiles_h={} tiles_w={} patch_h={} patch_w={} pixel_pitch={} row_pitch={} "
      "image_pitch={} chunk_words={} chunks={}",
      t.images, t.quads_h, t.quads_w, t.tiles_h, t.tiles_w, t.patch_h, t.patch_w, t.pixel_pitch, t.row_pitch,
      t.image_pitch, t.chunk_words, t.chunks);
}

void print_plans(const ConvShape& s) {
  for (const auto& [math, name] : kMaths) {
    const PatchPlan patch = plan_patch(s, math);
    fmt::print("patch {} {} : {} fits={:d} block_k={} threads={} shared={} packed_words={} k_blocks={}\n", name,
               text(s), text(patch.tile), patch.fits(), patch.block_k, patch.threads, patch.shared_bytes,
               patch.packed_words, patch.fits() ? patch.k_blocks(s) : 0);
    const FilterGradPlan grad = plan_filter_grad(s, math);
    fmt::print("filter_grad {} {} : {} fits={:d} taps_per_group={} groups={} shared={}\n", name, text(s),
               text(grad.tile), grad.fits(), grad.taps_per_group, grad.groups, grad.shared_bytes);
  }
  fmt::print("suits_one_channel {} : value={:d}\n", text(s), suits_one_channel(s));
  if (suits_one_channel(s)) {
    const OneChannelPlan plan = plan_one_channel(s);
    fmt::print("one_channel {} : {} threads={}\n", text(s), text(plan.tile), plan.threads);
  }
}

void print_chunks() {
  for (const int64_t size : {1, 25, 800, 16384, 51200, 65537, 1 << 20, (1 << 20) + 1, 1 << 26}) {
    for (const int most : {1, 16, 64})
      fmt::print("chunk_target {} {} : value={}\n", size, most, chunk_target(size, most));
  }
  for (const int64_t examples : {0, 1, 2, 15, 16, 17, 63, 64, 65, 100, 1000, 65537}) {
    for (const int target : {1, 3, 16, 20, 64}) {
      fmt::print("chunk_count {} {} : value={}\n", examples, target, chunk_count(examples, target));
    }
  }
}

void print_all() {
  std::vector<Conv2dParams> shapes = large_shapes();
  for (const Conv2dCase& c : conv2d_cases()) shapes.push_back(c.p);
  for (const Conv2dParams& p : shapes) {
    print_plans(forward_shape(p));
    if (p.stride == 1) print_plans(backward_shape(p));
  }
  print_chunks();
}

}  // namespace
}  // namespace lockstep::cuda

int main() { lockstep::cuda::print_all(); }
