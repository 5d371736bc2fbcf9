// SPDX-License-Identifier: Apache-2.0
// Requests that run a network: from body to answer.
#pragma once

#include "serve/http/http_message.h"
#include "serve/models/model_store.h"
#include "serve/rest/api_path.h"
#include "serve/rest/metrics.h"
#include "serve/rest/router.h"

namespace lockstep {

// Answers kPredict, kClassify, kRegress and kCloudPredict, at once or when the network has run, and counts the request.
// Store and metrics are borrowed until then.
void answer_prediction(ModelStore& store, ServingMetrics& metrics, const RestOptions& options, const ApiPath& path,
                       HttpRequest request, HttpRespond respond);

}  // namespace lockstep
