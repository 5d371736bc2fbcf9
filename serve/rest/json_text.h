// SPDX-License-Identifier: Apache-2.0
// Pieces of JSON text, appended to a string. Thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace lockstep {

// A number as TensorFlow Serving prints a float32: as %g does where its six digits read back as the same number, else
// as %.9g; `.0` behind what has neither point nor exponent; NaN, Infinity and -Infinity for what is not finite.
void append_serving_float(std::string& out, float value);
// A number as Cloud ML Engine prints a float32: widened to double, then as Python's json.dumps().
void append_cloud_float(std::string& out, float value);
void append_integer(std::string& out, int64_t value);

using AppendFloat = void (*)(std::string& out, float value);
// `[0.25, 1.0]`.
void append_list(std::string& out, std::span<const float> values, AppendFloat append);

// In quotes, with what JSON wants escaped; bytes that are no UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);
std::string json_string(std::string_view text);

}  // namespace lockstep
