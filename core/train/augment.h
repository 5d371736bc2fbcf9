// SPDX-License-Identifier: Apache-2.0
// Random shift and rotation of training images, sampled bilinearly. An image's transformation is a function of (seed,
// step, position in the global batch): the same on every rank, thread and after a resume.
#pragma once

#include <cstdint>

#include "core/base/thread_pool.h"
#include "io/batch_source.h"

namespace lockstep {

struct AugmentParams {
  double shift = 0;   // pixels, up to this far down/up and right/left
  double rotate = 0;  // degrees, up to this far each way, about the centre
  uint64_t seed = 0;
  bool enabled() const { return shift != 0 || rotate != 0; }
};

// images: (examples, H, W, C) bytes -> floats in [0, 1], as Model::load_images but transformed; what comes from outside
// the image is 0. first_example: position in the global batch of the first image.
void augment_images(ThreadPool* pool, const AugmentParams& params, ImageShape shape, uint64_t step,
                    uint32_t first_example, int64_t examples, const uint8_t* images, float* out);

}  // namespace lockstep
