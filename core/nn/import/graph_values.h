// SPDX-License-Identifier: Apache-2.0
// The numbers in a TensorFlow graph that a walk needs: weights (variables and constants, whatever lies between them and
// their use), shapes that the graph computes, and the scalars of dropout and of conditions.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "core/base/status.h"
#include "core/nn/import/graph_variables.h"
#include "core/nn/import/graph_view.h"
#include "core/nn/import/param_tensor.h"
#include "core/nn/import/shape_list.h"

namespace lockstep {

class GraphValues {
 public:
  // The sizes of a tensor of the walk, batch first, where they are known by now.
  using SizesOf = std::function<std::optional<std::vector<int64_t>>(const TensorRef&)>;

  // Borrows both.
  GraphValues(GraphView& graph, const GraphVariables& variables) : graph_(graph), variables_(variables) {}

  // `tensor`, or what it is a plain copy of; the copies are appended to `skipped`, unless that is null.
  absl::StatusOr<TensorRef> skip_copies(TensorRef tensor, std::vector<TensorRef>* skipped = nullptr);

  // Whether `tensor` is a weight: a variable or a constant, perhaps reshaped.
  absl::StatusOr<bool> is_param(TensorRef tensor);
  // Its values. Errors: not float32, damaged, or made in a way that is not supported.
  absl::StatusOr<ParamTensor> param(TensorRef tensor);

  // A small vector or scalar of integers: a constant, or computed from sizes.
  absl::StatusOr<std::vector<int64_t>> integers(TensorRef tensor, const SizesOf& sizes_of);
  absl::StatusOr<std::vector<int64_t>> constant_integers(TensorRef tensor);
  // A number or truth value (0, 1), if the graph fixes it. What is fed unless the caller says otherwise counts as
  // fixed: a PlaceholderWithDefault. Nothing when it is not fixed, or not a scalar.
  std::optional<double> scalar(TensorRef tensor);

 private:
  absl::StatusOr<ParamTensor> param_at(const TensorRef& tensor, int depth);
  absl::StatusOr<std::vector<int64_t>> integers_at(const TensorRef& tensor, const SizesOf& sizes_of, int depth);
  std::optional<double> scalar_at(const TensorRef& tensor, int depth);

  GraphView& graph_;
  const GraphVariables& variables_;
};

}  // namespace lockstep
