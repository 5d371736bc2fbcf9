// SPDX-License-Identifier: Apache-2.0
// The signature of a served model, which all have alike, and the errors of requests that ask for something else.
// Functions are thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "serve/models/model_store.h"

namespace lockstep {

// Both stand for the same.
inline constexpr std::array<std::string_view, 2> kSignatureNames = {"prediction", "serving_default"};
inline constexpr std::string_view kPredictMethodName = "tensorflow/serving/predict";
inline constexpr std::string_view kClassesOutput = "classes", kProbabilitiesOutput = "probabilities";

struct SignatureTensor {
  std::string_view alias;  // "inputs"
  bool is_float = true;    // else int64
  std::vector<int64_t> sizes;
  std::string_view name;  // that `lockstep export` gives it in a SavedModel
};

struct ModelSignature {
  SignatureTensor input, classes, probabilities;
};
ModelSignature signature_of(const Servable& servable);

// An empty name is serving_default.
bool is_signature_name(std::string_view name);

// NotFound with the names of the models that there are.
absl::Status with_models(const absl::Status& status, const ModelStore& store);

// What a request for a regression is told.
absl::Status no_regression(std::string_view instead);

}  // namespace lockstep
