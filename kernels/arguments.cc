// SPDX-License-Identifier: Apache-2.0
#include "kernels/arguments.h"

#include <fmt/format.h>

#include <limits>

namespace lockstep {
namespace {

absl::Status check_at_least(std::string_view op, int64_t least, std::initializer_list<Size> sizes) {
  for (const Size& size : sizes) {
    if (size.value >= least) continue;
    return absl::InvalidArgumentError(
        fmt::format("{}: {} must be at least {}, got {}", op, size.name, least, size.value));
  }
  return absl::OkStatus();
}

bool is_power_of_two(int value) { return value > 0 && (value & (value - 1)) == 0; }

}  // namespace

absl::Status check_positive(std::string_view op, std::initializer_list<Size> sizes) {
  return check_at_least(op, 1, sizes);
}

absl::Status check_not_negative(std::string_view op, std::initializer_list<Size> sizes) {
  return check_at_least(op, 0, sizes);
}

absl::Status check_addressable(std::string_view op, std::string_view buffer, std::initializer_list<int64_t> sizes) {
  int64_t bytes = sizeof(float);
  for (const int64_t size : sizes) {
    if (__builtin_mul_overflow(bytes, size, &bytes)) {
      return absl::InvalidArgumentError(
          fmt::format("{}: {} would have more than {} bytes", op, buffer, std::numeric_limits<int64_t>::max()));
    }
  }
  return absl::OkStatus();
}

absl::Status check_packed(std::string_view op, int64_t floats) {
  if (floats > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("{}: this backend has no packed weights: give them as they are", op));
}

absl::Status check_slices(std::string_view op, const GradSlices& slices, int64_t examples) {
  const auto& offsets = slices.offsets;
  if (offsets.size() < 2 || offsets.front() != 0 || offsets.back() != examples) {
    return absl::InvalidArgumentError(
        fmt::format("{}: slices must cover the examples [0, {}), got {} slices over [{}, {})", op, examples,
                    slices.slices(), offsets.empty() ? 0 : offsets.front(), offsets.empty() ? 0 : offsets.back()));
  }
  for (size_t i = 1; i < offsets.size(); ++i) {
    if (offsets[i] >= offsets[i - 1]) continue;
    return absl::InvalidArgumentError(
        fmt::format("{}: slice {} ends at example {}, before its begin {}", op, i - 1, offsets[i], offsets[i - 1]));
  }
  int64_t at = slices.first_slice;
  for (const int size : slices.subtrees) {
    if (at < 0 || !is_power_of_two(size) || at % size != 0) {
      return absl::InvalidArgumentError(
          fmt::format("{}: a subtree of {} slices that starts at slice {} is not aligned in the tree", op, size, at));
    }
    at += size;
  }
  if (at - slices.first_slice != slices.slices()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: the subtrees hold {} slices, expected {}", op, at - slices.first_slice, slices.slices()));
  }
  return absl::OkStatus();
}

absl::Status check_grad_output(std::string_view op, std::string_view name, const GradOutput& grad, int64_t size,
                               const GradSlices& slices) {
  if (slices.subtrees.size() > 1 && grad.stride < size) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: the stride of {} must be at least the parameter's {} floats, got {}", op, name, size, grad.stride));
  }
  return absl::OkStatus();
}

}  // namespace lockstep
