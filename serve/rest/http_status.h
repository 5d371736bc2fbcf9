// SPDX-License-Identifier: Apache-2.0
// Errors as answers of HTTP. Thread-safe.
#pragma once

#include "core/base/status.h"
#include "serve/http/http_message.h"

namespace lockstep {

// TensorFlow Serving's table: InvalidArgument, FailedPrecondition, OutOfRange 400; Unauthenticated 401;
// PermissionDenied 403; NotFound 404; AlreadyExists, Aborted 409; ResourceExhausted 429; Cancelled 499; Unimplemented
// 501; Unavailable 503; DeadlineExceeded 504; everything else 500.
int http_status(absl::StatusCode code);

// {"error": "…"}, with Retry-After where trying again may help (429, 503).
HttpResponse serving_error(const absl::Status& status);

// As Cloud ML Engine answers a prediction that failed: {"error": "Prediction failed: …"}.
HttpResponse cloud_prediction_error(const absl::Status& status);
// As it answers what has nothing to do with the instances: {"error": {"code": 404, "message": "…", "status":
// "NOT_FOUND"}}.
HttpResponse cloud_error(const absl::Status& status);

HttpResponse json_response(int status, std::string body);
HttpResponse text_response(int status, std::string body);

}  // namespace lockstep
