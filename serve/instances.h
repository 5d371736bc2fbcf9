// SPDX-License-Identifier: Apache-2.0
// Instances of a prediction: JSON values to the numbers that a network takes. Errors are those of Cloud ML Engine's
// prediction service ("Invalid inputs: … (Error code: 1)") with the place and what was expected.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "io/batch_source.h"

namespace lockstep {

inline constexpr std::string_view kInputName = "inputs";

// "Invalid inputs: <detail> (Error code: 1)".
absl::Status invalid_inputs(std::string_view detail);

// Turns instances into numbers. Immutable; thread-safe.
class InstanceReader {
 public:
  explicit InstanceReader(const ImageShape& input) : input_(input) {}

  // Writes the input().size() numbers of one instance to `out`. An instance is a value or {"inputs": value}; a value is
  // a list of H * W * C numbers in row-major order, the same nested as H x W x C (H x W when C is 1), or
  // {"b64": text} of either a PNG, which is prepared as prepare_image() does, or H * W * C bytes, which are scaled to
  // [0, 1]. `place` of the instance ("request.json:3") is what an error begins with. On error `out` is undefined.
  absl::Status read(const nlohmann::json& instance, std::string_view place, std::span<float> out) const;

  const ImageShape& input() const { return input_; }

 private:
  const ImageShape input_;
};

}  // namespace lockstep
