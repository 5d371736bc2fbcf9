// SPDX-License-Identifier: Apache-2.0
// What evaluation asks of a network, wherever its weights are.
#pragma once

#include <cstdint>

#include "core/base/status.h"

namespace lockstep {

class Classifier {
 public:
  virtual ~Classifier() = default;
  // Most examples in one call.
  virtual int64_t capacity() const = 0;
  virtual int classes() const = 0;
  // Host memory throughout. An example's results do not depend on its neighbours; nothing is dropped.
  virtual absl::Status classify(int64_t examples,
                                const uint8_t* images,  // (examples, H, W, C)
                                const int32_t* labels,  // (examples)
                                float* losses,          // (examples)
                                float* logits) = 0;     // (examples, classes)
};

}  // namespace lockstep
