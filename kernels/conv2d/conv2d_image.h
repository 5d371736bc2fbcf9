// SPDX-License-Identifier: Apache-2.0
// Small argument types of the per-image functions in conv2d_simd.cc, the same for every instruction set.
#pragma once

#include <cstdint>

namespace lockstep {

// The gradient arriving at the output of the convolution (or of the pool fused behind it).
struct ConvGradSource {
  const float* y;         // output, for the ReLU mask
  const uint8_t* argmax;  // with a fused pool
  const float* grad_y;
};

// A range of (filter row, column panel) units of the filter gradient.
struct ConvFilterPart {
  int begin, end;
};

}  // namespace lockstep
