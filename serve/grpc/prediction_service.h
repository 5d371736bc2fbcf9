// SPDX-License-Identifier: Apache-2.0
// TensorFlow Serving's gRPC API: PredictionService (Predict, Classify, GetModelMetadata) and ModelService
// (GetModelStatus).
#pragma once

#include "serve/grpc/grpc_message.h"
#include "serve/models/model_store.h"
#include "serve/rest/metrics.h"
#include "serve/rest/router.h"

namespace lockstep {

inline constexpr char kPredictionService[] = "tensorflow.serving.PredictionService";
inline constexpr char kModelService[] = "tensorflow.serving.ModelService";

// Both are borrowed for as long as the handler, or a request of it, lives. The handler is thread-safe. Of the options
// those count that bound a request. Errors have TensorFlow Serving's codes: InvalidArgument, also for bytes that are no
// message, NotFound, FailedPrecondition for a signature that there is not, Unavailable, DeadlineExceeded,
// Unimplemented.
GrpcHandler make_prediction_service(ModelStore& store, ServingMetrics& metrics, RestOptions options);

}  // namespace lockstep
