// SPDX-License-Identifier: Apache-2.0
// Argument types and scratch slots of the functions in conv2d_simd.cc, the same for every instruction set.
#pragma once

#include <cstdint>

namespace lockstep {

// Scratch slots. The first two are filled by the calling thread and read by all; the others belong to one image.
enum ConvSlot { kFilterSlot, kSlicesSlot, kInputSlot, kOutputSlot, kBiasSlot };

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
