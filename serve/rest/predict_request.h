// SPDX-License-Identifier: Apache-2.0
// Bodies of prediction requests to the numbers that a network takes. Functions are thread-safe. Every error is an
// InvalidArgument that says which instance, what was expected and what was found; one about shapes ends in a request
// of the right form.
#pragma once

#include <string>
#include <string_view>

#include "core/base/status.h"
#include "serve/requests/parsed_predict.h"

namespace lockstep {

// {"instances": [value, …]} or {"inputs": [value, …]}, with an optional "signature_name". A value is a list of H * W *
// C numbers in row-major order, the same nested as H x W x C (H x W when C is 1), or {"b64": text} of a PNG, which is
// prepared as prepare_image() does, or of H * W * C bytes, which are scaled to [0, 1]. {"inputs": value} is the same as
// the value, and "inputs" may be {"inputs": [value, …]} and one {"b64": …}. Other keys of the body are passed over.
absl::StatusOr<ParsedPredict> parse_predict_request(const std::string& body, const RequestRules& rules);

// {"examples": [{"inputs": value}, …]}, with an optional "signature_name".
absl::StatusOr<ParsedPredict> parse_classify_request(const std::string& body, const RequestRules& rules);

// (examples, H, W, C) bytes, which are scaled to [0, 1].
absl::StatusOr<ParsedPredict> parse_pixel_bytes(std::string_view body, const RequestRules& rules);

// One picture, prepared as prepare_image() does.
absl::StatusOr<ParsedPredict> parse_png_request(std::string_view body, const RequestRules& rules);

}  // namespace lockstep
