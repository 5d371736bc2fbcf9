// SPDX-License-Identifier: Apache-2.0
// Good answers of TensorFlow Serving's gRPC API, serialised. Functions are thread-safe.
#pragma once

#include <string>
#include <vector>

#include "serve/models/model_store.h"
#include "serve/models/servable.h"

namespace lockstep {

struct AnsweredBy {
  std::string signature_name;                 // "": serving_default
  bool classes = true, probabilities = true;  // which outputs of a PredictResponse
};

std::string predict_response(const Servable& servable, const AnsweredBy& by, const PredictAnswer& answer);
// Every class with its probability, in the order of the classes.
std::string classification_response(const Servable& servable, const AnsweredBy& by, const PredictAnswer& answer);
std::string metadata_response(const Servable& servable);
std::string status_response(const std::vector<VersionStatus>& versions);

}  // namespace lockstep
