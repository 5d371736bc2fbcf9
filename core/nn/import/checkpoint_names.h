// SPDX-License-Identifier: Apache-2.0
// Which tensor of a foreign checkpoint is which parameter of a network that somebody else described.
#pragma once

#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/nn/param_table.h"
#include "io/tensor_bundle.h"

namespace lockstep {

// For each parameter of the table, in its order, the tensor that holds it: of the right shape and float32. By name
// only, in this order; what matches in part or in two ways is an error that lists what there is.
//   1. TensorFlow's layer names, as ours ("conv2d/kernel");
//   2. the same in one scope ("tower/conv2d/kernel");
//   3. a checkpoint of TensorFlow 2: the same two rules for the names that its variables had;
//   4. Keras's numbers of layers, in our order of layers: "…layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE"
//   and, of
//      Keras 3, "…_operations/2/_kernel/…" or "…_layers/2/…";
//   5. the variables that an optimizer of Keras 3 trains ("…_trainable_variables/0/…"), in the order of our parameters.
absl::StatusOr<std::vector<std::string>> match_parameters(const TensorBundleReader& reader, const ParamTable& params);

}  // namespace lockstep
