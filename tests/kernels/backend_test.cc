// SPDX-License-Identifier: Apache-2.0
#include "kernels/backend.h"

#include <gmock/gmock.h>

#include "kernels/window.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

TEST(Backend, NamesRoundTrip) {
  for (const Backend backend : {Backend::kRef, Backend::kSimd}) {
    const auto parsed = parse_backend(backend_name(backend));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, backend);
  }
}

TEST(Backend, UnknownNameIsAnErrorWithTheNearestName) {
  const auto parsed = parse_backend("smid");
  EXPECT_TRUE(absl::IsInvalidArgument(parsed.status()));
  EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("did you mean `simd`"));
}

struct WindowCase {
  int in, window, stride;
  Padding padding;
  int out, before, after;
};

// TensorFlow's rules, https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2.
TEST(Window, FollowsTensorFlow) {
  for (const WindowCase& c : {
           WindowCase{28, 5, 1, Padding::kSame, 28, 2, 2},
           WindowCase{28, 2, 2, Padding::kSame, 14, 0, 0},
           WindowCase{5, 2, 2, Padding::kSame, 3, 0, 1},
           WindowCase{4, 4, 1, Padding::kSame, 4, 1, 2},
           WindowCase{3, 7, 1, Padding::kSame, 3, 3, 3},
           WindowCase{10, 2, 3, Padding::kSame, 4, 0, 1},
           WindowCase{7, 3, 2, Padding::kValid, 3, 0, 0},
           WindowCase{8, 3, 2, Padding::kValid, 3, 0, 0},
           WindowCase{3, 3, 1, Padding::kValid, 1, 0, 0},
           WindowCase{10, 2, 3, Padding::kValid, 3, 0, 0},
       }) {
    const WindowDim dim = window_dim(c.in, c.window, c.stride, c.padding);
    EXPECT_EQ(dim.out, c.out) << c.in << " " << c.window << " " << c.stride;
    EXPECT_EQ(dim.pad_before, c.before) << c.in << " " << c.window << " " << c.stride;
    EXPECT_EQ(dim.pad_after, c.after) << c.in << " " << c.window << " " << c.stride;
  }
  EXPECT_LE(window_dim(2, 3, 1, Padding::kValid).out, 0);
}

}  // namespace
}  // namespace lockstep
