// SPDX-License-Identifier: Apache-2.0
// The commonest requests, read in one pass without a tree: {"instances": [[0.0, 0.5, …], …]}, or "inputs" so, each list
// perhaps nested as H x W x C (H x W when C is 1) or as {"inputs": [0.0, …]}, with or without a "signature_name".
// Thread-safe.
#pragma once

#include <optional>
#include <string>

#include "serve/rest/predict_request.h"

namespace lockstep {

// The same numbers, to the last bit, that the JSON parser would give, or nothing: then the body has another form, or is
// wrong, and what reads it with the JSON parser says how.
std::optional<ParsedPredict> parse_plain_request(const std::string& body, const RequestRules& rules);

}  // namespace lockstep
