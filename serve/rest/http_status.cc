// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/http_status.h"

#include <fmt/format.h>

#include "serve/rest/abseil_text.h"
#include "serve/rest/json_text.h"

namespace lockstep {
namespace {

HttpResponse error_response(int status, std::string body) {
  HttpResponse response = json_response(status, std::move(body));
  // A full queue empties within a few passes of the network; a second is the least that the header can say.
  if (status == 429 || status == 503) response.headers.emplace_back("retry-after", "1");
  return response;
}

}  // namespace

int http_status(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

HttpResponse serving_error(const absl::Status& status) {
  return error_response(http_status(status.code()),
                        fmt::format("{{\n    \"error\": {}\n}}", json_string(status_text(status))));
}

HttpResponse cloud_prediction_error(const absl::Status& status) {
  const std::string text = fmt::format("Prediction failed: {}", status_text(status));
  return error_response(http_status(status.code()), fmt::format("{{\"error\": {}}}", json_string(text)));
}

HttpResponse cloud_error(const absl::Status& status) {
  const int code = http_status(status.code());
  return error_response(
      code,
      fmt::format("{{\n  \"error\": {{\n    \"code\": {},\n    \"message\": {},\n    \"status\": \"{}\"\n  }}\n}}\n",
                  code, json_string(status_text(status)), absl::StatusCodeToString(status.code())));
}

HttpResponse json_response(int status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

HttpResponse text_response(int status, std::string body) {
  HttpResponse response = json_response(status, std::move(body));
  response.content_type = "text/plain; charset=utf-8";
  return response;
}

}  // namespace lockstep
