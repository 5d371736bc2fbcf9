// SPDX-License-Identifier: Apache-2.0
#include "core/nn/import/param_tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/nn/import/limits.h"
#include "io/tensor_bundle.h"

namespace lockstep {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 32;

absl::Status does_not_fit(const ParamTensor& tensor, const std::string& what) {
  return absl::InvalidArgumentError(fmt::format("`{}` of shape {}: {}", tensor.source, shape_text(tensor.shape), what));
}

// Which of `rank` axes are meant; an error for one out of range or named twice.
absl::StatusOr<std::vector<bool>> marked(std::span<const int64_t> axes, size_t rank, const ParamTensor& tensor) {
  std::vector<bool> marks(rank);
  for (const int64_t axis : axes) {
    const int64_t from_front = axis < 0 ? axis + static_cast<int64_t>(rank) : axis;
    if (from_front < 0 || from_front >= static_cast<int64_t>(rank) || marks[static_cast<size_t>(from_front)]) {
      return does_not_fit(tensor, fmt::format("no axes [{}] of {}", fmt::join(axes, ", "), rank));
    }
    marks[static_cast<size_t>(from_front)] = true;
  }
  return marks;
}

}  // namespace

absl::StatusOr<int64_t> param_elements(std::span<const int64_t> shape) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    if (size < 0 || shape.size() > kMaxImportRank || (size > 0 && count > kMaxElements / size)) {
      return absl::InvalidArgumentError(fmt::format("no shape of a weight: {}", shape_text(shape)));
    }
    count *= size;
  }
  return count;
}

absl::Status reshape_param(std::span<const int64_t> shape, ParamTensor* tensor) {
  std::vector<int64_t> sizes(shape.begin(), shape.end());
  const auto open = std::find(sizes.begin(), sizes.end(), -1);
  if (open != sizes.end()) {
    *open = 1;
    const auto rest = param_elements(sizes);
    const auto count = static_cast<int64_t>(tensor->values.size());
    if (!rest.ok() || *rest == 0 || count % *rest != 0) return does_not_fit(*tensor, "cannot be reshaped");
    *open = count / *rest;
  }
  const auto elements = param_elements(sizes);
  if (!elements.ok() || *elements != static_cast<int64_t>(tensor->values.size())) {
    return does_not_fit(*tensor, fmt::format("cannot be reshaped to {}", shape_text(shape)));
  }
  tensor->shape = std::move(sizes);
  return absl::OkStatus();
}

absl::Status transpose_param(std::span<const int64_t> permutation, ParamTensor* tensor) {
  const size_t rank = tensor->shape.size();
  LOCKSTEP_ASSIGN_OR_RETURN(const auto marks, marked(permutation, rank, *tensor));
  if (permutation.size() != rank) return does_not_fit(*tensor, "a transposition of another rank");
  std::vector<int64_t> strides(rank, 1), shape(rank), steps(rank);
  for (size_t i = rank; i-- > 1;) strides[i - 1] = strides[i] * tensor->shape[i];
  for (size_t i = 0; i < rank; ++i) {
    const auto from =
        static_cast<size_t>(permutation[i] < 0 ? permutation[i] + static_cast<int64_t>(rank) : permutation[i]);
    shape[i] = tensor->shape[from];
    steps[i] = strides[from];
  }
  std::vector<float> values(tensor->values.size());
  std::vector<int64_t> index(rank);
  int64_t position = 0;
  for (float& value : values) {
    value = tensor->values[static_cast<size_t>(position)];
    for (size_t i = rank; i-- > 0;) {  // counts up like an odometer
      position += steps[i];
      if (++index[i] < shape[i]) break;
      position -= steps[i] * shape[i];
      index[i] = 0;
    }
  }
  tensor->shape = std::move(shape);
  tensor->values = std::move(values);
  return absl::OkStatus();
}

absl::Status squeeze_param(std::span<const int64_t> axes, ParamTensor* tensor) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto marks, marked(axes, tensor->shape.size(), *tensor));
  std::vector<int64_t> shape;
  for (size_t i = 0; i < marks.size(); ++i) {
    const bool drop = axes.empty() ? tensor->shape[i] == 1 : marks[i];
    if (drop && tensor->shape[i] != 1) return does_not_fit(*tensor, "an axis that is squeezed has not size 1");
    if (!drop) shape.push_back(tensor->shape[i]);
  }
  tensor->shape = std::move(shape);
  return absl::OkStatus();
}

absl::Status expand_param(std::span<const int64_t> axes, ParamTensor* tensor) {
  const size_t rank = tensor->shape.size() + axes.size();
  if (rank > kMaxImportRank) return does_not_fit(*tensor, "too many axes");
  LOCKSTEP_ASSIGN_OR_RETURN(const auto marks, marked(axes, rank, *tensor));
  std::vector<int64_t> shape;
  size_t next = 0;
  for (size_t i = 0; i < rank; ++i) shape.push_back(marks[i] ? 1 : tensor->shape[next++]);
  tensor->shape = std::move(shape);
  return absl::OkStatus();
}

}  // namespace lockstep
