// SPDX-License-Identifier: Apache-2.0
// A weight on its way from a foreign file into a network.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

struct ParamTensor {
  std::string source;          // the variable or constant that it was
  std::vector<int64_t> shape;  // sizes of at least 0
  std::vector<float> values;   // row-major, as many as the shape says
};

// The elements of `shape`, or nothing when a size is negative or there are more than a weight may have (2^32).
absl::StatusOr<int64_t> param_elements(std::span<const int64_t> shape);

// The same numbers in another shape; one size may be -1.
absl::Status reshape_param(std::span<const int64_t> shape, ParamTensor* tensor);
// Axis i of the result is axis permutation[i].
absl::Status transpose_param(std::span<const int64_t> permutation, ParamTensor* tensor);
// Removes axes of size 1: the given ones (negative: from the end), or all of them when none is given.
absl::Status squeeze_param(std::span<const int64_t> axes, ParamTensor* tensor);
// Inserts axes of size 1 where the result has them (negative: from its end).
absl::Status expand_param(std::span<const int64_t> axes, ParamTensor* tensor);

}  // namespace lockstep
