// SPDX-License-Identifier: Apache-2.0
// A prediction request as numbers, whatever protocol it came by, and what bounds it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/batch_source.h"

namespace lockstep {

// In whose words an error is told.
enum class RestApi { kTensorFlowServing, kCloudMl };

struct RequestRules {
  ImageShape input;
  RestApi api = RestApi::kTensorFlowServing;
  int64_t most_examples = 10'000;  // in one request
  // A picture of few bytes can have many pixels: most in all the PNGs of one request.
  int64_t most_png_pixels = int64_t{1} << 24;
};

struct ParsedPredict {
  std::vector<float> inputs;  // (examples, H, W, C), finite
  int64_t examples = 0;       // at least 1
  bool row = true;            // REST's "instances"; else "inputs", whose answer is by output and not by example
  std::string signature_name;
};

}  // namespace lockstep
