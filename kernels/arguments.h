// SPDX-License-Identifier: Apache-2.0
// What several operators do with their arguments. Errors of checks are InvalidArgument and say what was expected and
// found.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "core/base/status.h"
#include "kernels/grad_slices.h"

namespace lockstep {

// A named size, for messages.
struct Size {
  std::string_view name;
  int64_t value = 0;
};

absl::Status check_positive(std::string_view op, std::initializer_list<Size> sizes);
absl::Status check_not_negative(std::string_view op, std::initializer_list<Size> sizes);

// The product of the sizes must be addressable as an array of floats. All sizes are at least 0.
absl::Status check_addressable(std::string_view op, std::string_view buffer, std::initializer_list<int64_t> sizes);

// For operators on packed weights: `floats` of them, none where the backend packs nothing.
absl::Status check_packed(std::string_view op, int64_t floats);

// slices must cover exactly `examples`, and its subtrees be powers of two, aligned in the global tree, that tile it.
absl::Status check_slices(std::string_view op, const GradSlices& slices, int64_t examples);

// Partial sums of a parameter of `size` floats must not overlap.
absl::Status check_grad_output(std::string_view op, std::string_view name, const GradOutput& grad, int64_t size,
                               const GradSlices& slices);

// A place in an array that may not be there.
template <typename T>
T* offset_or_null(T* array, int64_t offset) {
  return array == nullptr ? nullptr : array + offset;
}

}  // namespace lockstep
