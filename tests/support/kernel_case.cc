// SPDX-License-Identifier: Apache-2.0
#include "tests/support/kernel_case.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace lockstep {
namespace {

constexpr Padding kSame = Padding::kSame, kValid = Padding::kValid;

std::string_view padding_name(Padding padding) { return padding == kSame ? "SAME" : "VALID"; }

// A case with a 2 x 2 pool behind it, SAME so that it fits behind any output.
Conv2dCase conv(std::string name, Conv2dParams p, int pool_window = 2, int pool_stride = 2, Padding pool = kSame) {
  return {
      std::move(name),
      p,
      {.N = p.N, .H = p.OH(), .W = p.OW(), .C = p.K, .window = pool_window, .stride = pool_stride, .padding = pool}};
}

}  // namespace

std::vector<Conv2dCase> conv2d_cases() {
  return {
      conv("one", {.N = 1, .H = 1, .W = 1, .C = 1, .K = 1, .R = 1, .S = 1}),
      conv("filter_larger_than_image", {.N = 2, .H = 3, .W = 4, .C = 2, .K = 3, .R = 5, .S = 7}),
      conv("odd_relu", {.N = 3, .H = 7, .W = 5, .C = 3, .K = 10, .R = 3, .S = 3, .relu = true}),
      conv("prime_valid", {.N = 2, .H = 11, .W = 13, .C = 7, .K = 17, .R = 5, .S = 3, .padding = kValid}, 3, 2),
      conv("valid_to_one_pixel", {.N = 5, .H = 4, .W = 3, .C = 3, .K = 5, .R = 4, .S = 3, .padding = kValid}),
      conv("even_filter_same", {.N = 2, .H = 6, .W = 5, .C = 3, .K = 4, .R = 4, .S = 2, .relu = true}),
      conv("vector_multiple", {.N = 2, .H = 8, .W = 8, .C = 16, .K = 32, .R = 3, .S = 3, .relu = true}),
      conv("vector_multiple_and_one", {.N = 1, .H = 9, .W = 9, .C = 17, .K = 33, .R = 3, .S = 3}, 2, 1, kValid),
      conv("stride_two_same", {.N = 2, .H = 9, .W = 8, .C = 3, .K = 10, .R = 3, .S = 3, .stride = 2}),
      conv("stride_two_valid",
           {.N = 2, .H = 10, .W = 9, .C = 3, .K = 10, .R = 3, .S = 3, .stride = 2, .padding = kValid, .relu = true}),
      conv("stride_over_filter", {.N = 2, .H = 10, .W = 11, .C = 3, .K = 5, .R = 2, .S = 2, .stride = 3}),
      conv("one_by_one", {.N = 2, .H = 5, .W = 6, .C = 10, .K = 64, .R = 1, .S = 1, .relu = true}),
      conv("one_channel_many_filters", {.N = 1, .H = 6, .W = 7, .C = 1, .K = 70, .R = 5, .S = 5, .relu = true}),
      conv("one_channel_small_filter", {.N = 2, .H = 7, .W = 6, .C = 1, .K = 33, .R = 3, .S = 3, .relu = true}),
      conv("one_filter_many_channels", {.N = 2, .H = 6, .W = 6, .C = 64, .K = 1, .R = 3, .S = 3}),
      conv("wide", {.N = 1, .H = 3, .W = 37, .C = 2, .K = 31, .R = 3, .S = 3, .relu = true}, 3, 2),
      conv("tall", {.N = 1, .H = 37, .W = 1, .C = 5, .K = 8, .R = 5, .S = 1}, 2, 3),
      conv("overlapping_pool", {.N = 1, .H = 12, .W = 12, .C = 4, .K = 16, .R = 5, .S = 5, .relu = true}, 3, 2, kValid),
      conv("winograd_3x3", {.N = 5, .H = 13, .W = 7, .C = 16, .K = 48, .R = 3, .S = 3, .relu = true}),
      conv("winograd_5x5", {.N = 3, .H = 9, .W = 11, .C = 32, .K = 16, .R = 5, .S = 5, .relu = true}, 3, 2),
      conv("winograd_valid", {.N = 2, .H = 12, .W = 13, .C = 16, .K = 16, .R = 5, .S = 5, .padding = kValid}),
      conv("fourier", {.N = 3, .H = 14, .W = 13, .C = 16, .K = 48, .R = 5, .S = 5, .relu = true}, 3, 2),
      conv("fourier_valid", {.N = 2, .H = 16, .W = 15, .C = 16, .K = 16, .R = 7, .S = 4, .padding = kValid}),
      // Slices of 15 images, more than go through the transforms at once; filters of more than one part.
      conv("fourier_many", {.N = 60, .H = 8, .W = 7, .C = 16, .K = 16, .R = 4, .S = 5}, 2, 2, kValid),
      conv("fourier_wide", {.N = 12, .H = 8, .W = 7, .C = 32, .K = 48, .R = 5, .S = 4, .relu = true}),
      conv("mnist_first", {.N = 3, .H = 28, .W = 28, .C = 1, .K = 32, .R = 5, .S = 5, .relu = true}, 2, 2, kValid),
      conv("mnist_second", {.N = 1, .H = 14, .W = 14, .C = 32, .K = 64, .R = 5, .S = 5, .relu = true}, 2, 2, kValid),
      conv("cifar_first", {.N = 1, .H = 32, .W = 32, .C = 3, .K = 24, .R = 3, .S = 3, .relu = true}, 2, 2, kValid),
      conv("two_filter_blocks", {.N = 2, .H = 5, .W = 6, .C = 36, .K = 72, .R = 3, .S = 3, .relu = true}),
      conv("odd_valid", {.N = 2, .H = 9, .W = 9, .C = 17, .K = 19, .R = 3, .S = 3, .padding = kValid}, 2, 2, kValid),
      conv("pool_leaves_pixels", {.N = 5, .H = 13, .W = 9, .C = 9, .K = 16, .R = 3, .S = 3, .relu = true}, 2, 2,
           kValid),
      conv("pool_leaves_pixels_direct", {.N = 2, .H = 5, .W = 7, .C = 3, .K = 5, .R = 3, .S = 3}, 2, 2, kValid),
      conv("tall_one_channel", {.N = 1, .H = 100, .W = 12, .C = 1, .K = 4, .R = 3, .S = 3, .relu = true}),
      conv("drawing", {.N = 2, .H = 13, .W = 19, .C = 1, .K = 48, .R = 3, .S = 5, .relu = true}, 3, 2),
      conv("drawing_valid",
           {.N = 1, .H = 15, .W = 60, .C = 1, .K = 16, .R = 8, .S = 8, .padding = kValid, .relu = true}, 3, 2, kValid),
      conv("drawing_as_wide_as_a_word", {.N = 1, .H = 3, .W = 62, .C = 1, .K = 32, .R = 3, .S = 3, .relu = true}),
      conv("drawing_wider", {.N = 1, .H = 3, .W = 63, .C = 1, .K = 32, .R = 3, .S = 3, .relu = true}),
      conv("drawing_long_filter",
           {.N = 1, .H = 1, .W = 64, .C = 1, .K = 16, .R = 1, .S = 64, .padding = kValid, .relu = true}),
      conv("tall_many_tiles", {.N = 1, .H = 52, .W = 7, .C = 17, .K = 16, .R = 3, .S = 3, .padding = kValid}),
      conv("many_examples", {.N = 75, .H = 3, .W = 4, .C = 8, .K = 9, .R = 3, .S = 3}),
      conv("many_examples_one_channel", {.N = 264, .H = 3, .W = 3, .C = 1, .K = 3, .R = 3, .S = 3, .relu = true}),
      conv("multiple_of_the_chunks", {.N = 128, .H = 3, .W = 3, .C = 1, .K = 3, .R = 3, .S = 3, .relu = true}),
      conv("empty_batch", {.N = 0, .H = 5, .W = 5, .C = 3, .K = 4, .R = 3, .S = 3, .relu = true}),
  };
}

std::vector<Pool2dCase> pool2d_cases() {
  return {
      {"one", {.N = 1, .H = 1, .W = 1, .C = 1, .window = 1, .stride = 1}},
      {"window_larger_than_image", {.N = 2, .H = 2, .W = 3, .C = 5, .window = 5, .stride = 2, .padding = kSame}},
      {"whole_image", {.N = 3, .H = 4, .W = 4, .C = 7, .window = 4, .stride = 4}},
      {"odd_valid", {.N = 2, .H = 7, .W = 5, .C = 3}},
      {"odd_same", {.N = 2, .H = 7, .W = 5, .C = 3, .padding = kSame}},
      {"overlapping", {.N = 2, .H = 11, .W = 13, .C = 10, .window = 3, .stride = 2}},
      {"overlapping_same", {.N = 1, .H = 6, .W = 9, .C = 17, .window = 3, .stride = 1, .padding = kSame}},
      {"stride_over_window", {.N = 2, .H = 10, .W = 11, .C = 3, .window = 2, .stride = 3}},
      {"largest_window", {.N = 1, .H = 17, .W = 18, .C = 3, .window = 16, .stride = 1}},
      {"vector_multiple", {.N = 1, .H = 6, .W = 4, .C = 64}},
      {"vector_multiple_and_one", {.N = 1, .H = 6, .W = 4, .C = 33}},
      {"one_channel", {.N = 2, .H = 8, .W = 37, .C = 1}},
      {"mnist_first", {.N = 2, .H = 28, .W = 28, .C = 32}},
      {"mnist_second", {.N = 2, .H = 14, .W = 14, .C = 64}},
      {"empty_batch", {.N = 0, .H = 4, .W = 4, .C = 3}},
  };
}

std::vector<DenseCase> dense_cases() {
  return {
      {"one", {.N = 1, .I = 1, .O = 1}},
      {"one_output", {.N = 5, .I = 31, .O = 1}},
      {"one_input", {.N = 3, .I = 1, .O = 17, .relu = true}},
      {"one_example", {.N = 1, .I = 37, .O = 10, .relu = true}},
      {"prime", {.N = 7, .I = 13, .O = 11, .relu = true}},
      {"vector_multiple", {.N = 8, .I = 64, .O = 32}},
      {"vector_multiple_and_one", {.N = 9, .I = 65, .O = 33, .relu = true}},
      {"vector_many", {.N = 41, .I = 68, .O = 132, .relu = true}},
      {"vector_but_inputs", {.N = 6, .I = 33, .O = 20}},
      {"vector_but_outputs", {.N = 6, .I = 32, .O = 21, .relu = true}},
      {"many_examples", {.N = 137, .I = 5, .O = 3}},
      {"wide_output", {.N = 3, .I = 9, .O = 261, .relu = true}},
      {"three_groups", {.N = 9, .I = 130, .O = 300, .relu = true}},
      {"mnist_hidden", {.N = 2, .I = 3136, .O = 200, .relu = true}},
      {"mnist_logits", {.N = 10, .I = 1024, .O = 10}},
      {"empty_batch", {.N = 0, .I = 3, .O = 4, .relu = true}},
      {"no_inputs", {.N = 3, .I = 0, .O = 4}},
      {"no_outputs", {.N = 3, .I = 4, .O = 0}},
  };
}

std::vector<DropoutCase> dropout_cases() {
  return {
      {"one", 1, 1, 0.5f},          {"three_units", 5, 3, 0.25f},  {"prime", 7, 17, 0.4f},
      {"nothing_dropped", 3, 9, 0}, {"nearly_all", 2, 101, 0.95f}, {"quads_and_one", 3, 33, 0.4f},
      {"mnist", 4, 1024, 0.4f},     {"two_blocks", 2, 1033, 0.4f}, {"empty_batch", 0, 1024, 0.4f},
      {"no_units", 4, 0, 0.4f},
  };
}

std::vector<SoftmaxCase> softmax_cases() {
  return {
      {"one_class", 3, 1}, {"two_classes", 5, 2},     {"prime", 7, 13},          {"ten_classes", 30, 10},
      {"vector", 6, 16},   {"vector_and_one", 6, 17}, {"many_classes", 9, 1000}, {"empty_batch", 0, 10},
  };
}

std::vector<AdamCase> adam_cases() {
  return {
      {"one", 1, {1}},
      {"vector_and_one", 17, {8}},
      {"two_ranks", 33, {4, 4}},
      {"three_ranks", 101, {2, 1, 1, 2, 1, 1}},
      {"eight_ranks", 31, {1, 1, 1, 1, 1, 1, 1, 1}},
      {"uneven_terms", 257, {1, 1, 2, 4, 8}},
      {"several_blocks", 20011, {4, 4}},
      {"empty_range", 0, {8}},
  };
}

std::string shape_of(const Conv2dCase& c) {
  const Conv2dParams& p = c.p;
  return fmt::format("N{} {}x{}x{} filter {}x{}x{} stride {} {}{}, pool {}/{} {}", p.N, p.H, p.W, p.C, p.R, p.S, p.K,
                     p.stride, padding_name(p.padding), p.relu ? " relu" : "", c.pool.window, c.pool.stride,
                     padding_name(c.pool.padding));
}

std::string shape_of(const Pool2dCase& c) {
  return fmt::format("N{} {}x{}x{} window {} stride {} {}", c.p.N, c.p.H, c.p.W, c.p.C, c.p.window, c.p.stride,
                     padding_name(c.p.padding));
}

std::string shape_of(const DenseCase& c) {
  return fmt::format("N{} {} -> {}{}", c.p.N, c.p.I, c.p.O, c.p.relu ? " relu" : "");
}

std::string shape_of(const DropoutCase& c) { return fmt::format("N{} units {} rate {}", c.N, c.units, c.rate); }

std::string shape_of(const SoftmaxCase& c) { return fmt::format("N{} C{}", c.N, c.C); }

std::string shape_of(const AdamCase& c) {
  return fmt::format("{} parameters, terms of {} slices", c.count, fmt::join(c.term_slices, " + "));
}

}  // namespace lockstep
