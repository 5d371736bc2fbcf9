// SPDX-License-Identifier: Apache-2.0
#include "serve/rest/json_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace lockstep {
namespace {

using Buffer = std::array<char, 64>;

bool append_not_finite(std::string& out, double value) {
  if (std::isfinite(value)) return false;
  out += std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
  return true;
}

void append_number(std::string& out, std::string_view text) {
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos) out += ".0";
}

std::string_view with_digits(Buffer& buffer, float value, int digits) {
  const auto end = std::to_chars(buffer.begin(), buffer.end(), value, std::chars_format::general, digits).ptr;
  return {buffer.begin(), end};
}

// Do six digits say which float this is?
bool six_digits_do(Buffer& buffer, float value) {
  // Sixth-digit steps are wider than those of a normal float, so at most one such number reads back as `value`, and the
  // shortest that does has six digits or fewer.
  if (std::abs(value) >= std::numeric_limits<float>::min()) {
    const auto end = std::to_chars(buffer.begin(), buffer.end(), value, std::chars_format::scientific).ptr;
    const std::string_view shortest(buffer.begin(), end);
    const size_t exponent = shortest.find('e');
    const size_t sign_and_point = (value < 0 ? 1u : 0u) + (exponent > 2 ? 1u : 0u);
    return exponent - sign_and_point <= 6;
  }
  const std::string_view text = with_digits(buffer, value, 6);
  float read = 0;
  std::from_chars(text.begin(), text.end(), read);
  return read == value;
}

}  // namespace

void append_serving_float(std::string& out, float value) {
  if (append_not_finite(out, static_cast<double>(value))) return;
  Buffer buffer;
  append_number(out, with_digits(buffer, value, six_digits_do(buffer, value) ? 6 : 9));
}

void append_cloud_float(std::string& out, float value) {
  const auto wide = static_cast<double>(value);
  if (append_not_finite(out, wide)) return;
  const double size = std::abs(wide);
  const bool fixed = size == 0 || (size >= 1e-4 && size < 1e16);
  Buffer buffer;
  const auto end = std::to_chars(buffer.begin(), buffer.end(), wide,
                                 fixed ? std::chars_format::fixed : std::chars_format::scientific)
                       .ptr;
  append_number(out, {buffer.begin(), end});
}

void append_integer(std::string& out, int64_t value) {
  Buffer buffer;
  out.append(buffer.begin(), std::to_chars(buffer.begin(), buffer.end(), value).ptr);
}

void append_list(std::string& out, std::span<const float> values, AppendFloat append) {
  out += '[';
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ", ";
    append(out, values[i]);
  }
  out += ']';
}

void append_json_string(std::string& out, std::string_view text) {
  out += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string json_string(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

}  // namespace lockstep
