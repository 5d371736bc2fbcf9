// SPDX-License-Identifier: Apache-2.0
// Sliding-window geometry shared by convolution and pooling; TensorFlow's rules for SAME and VALID.
#pragma once

namespace lockstep {

enum class Padding { kSame, kValid };

struct WindowDim {
  int out = 0;         // output size
  int pad_before = 0;  // zeros (convolution) or ignored positions (pooling) in front of the input
  int pad_after = 0;   // behind it, as far as windows reach
};

// SAME: out = ceil(in / stride), the padding split with the odd one behind. VALID: out = ceil((in - window + 1) /
// stride), no padding; out <= 0 when the window is larger than the input.
constexpr WindowDim window_dim(int in, int window, int stride, Padding padding) {
  if (padding == Padding::kValid) return {(in - window + stride) / stride, 0, 0};
  const int out = (in + stride - 1) / stride;
  const int total = (out - 1) * stride + window - in;
  if (total <= 0) return {out, 0, 0};
  return {out, total / 2, total - total / 2};
}

}  // namespace lockstep
