// SPDX-License-Identifier: Apache-2.0
// Bodies of good answers. Functions are thread-safe.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "serve/models/model_store.h"
#include "serve/models/servable.h"

namespace lockstep {

// {"predictions": [{"classes": 7, "probabilities": […]}, …]}, as TensorFlow Serving lays it out.
std::string row_answer(const PredictAnswer& answer);
// {"outputs": {"classes": [7, …], "probabilities": [[…], …]}}.
std::string column_answer(const PredictAnswer& answer);
// {"results": [[["0", 0.01], …], …]}: every class with its probability, in the order of the classes.
std::string classify_answer(const PredictAnswer& answer);
// The same as row_answer(), with numbers as Cloud ML Engine prints them.
std::string cloud_answer(const PredictAnswer& answer);

// tensorflow.serving.GetModelStatusResponse.
std::string model_status_answer(const std::vector<VersionStatus>& versions);
// tensorflow.serving.GetModelMetadataResponse with the two signatures.
std::string metadata_answer(const Servable& servable);
// {"models": [{"name": "mnist", "versions": [{"version": "2", "label": "v2", "state": "AVAILABLE", "error": "",
// "default": true}, …]}, …]}: TensorFlow Serving has no such list.
std::string models_answer(const std::vector<std::pair<std::string, std::vector<VersionStatus>>>& models);

}  // namespace lockstep
