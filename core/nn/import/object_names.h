// SPDX-License-Identifier: Apache-2.0
// The names that the variables of a TensorFlow 2 checkpoint had.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "io/tensor_bundle.h"

namespace lockstep {

// Name of a variable ("conv2d/kernel") -> the tensor that holds it
// ("layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE"), from the object graph in the checkpoint. Empty when there
// is none. A name that several variables had is left out. Errors: an object graph that is damaged.
absl::StatusOr<std::map<std::string, std::string>> object_names(const TensorBundleReader& reader);

}  // namespace lockstep
