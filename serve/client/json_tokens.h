// SPDX-License-Identifier: Apache-2.0
// JSON as Python and TensorFlow Serving write it: with the tokens NaN, Infinity and -Infinity. Thread-safe.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

namespace lockstep {

// None when `text` is no such JSON, or nested so deep that nobody meant it.
std::optional<nlohmann::json> parse_with_tokens(std::string_view text);

// The number that stands for a token in what parse_with_tokens() returned; none when `value` is anything else.
std::optional<double> token_value(const nlohmann::json& value);

}  // namespace lockstep
