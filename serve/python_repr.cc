// SPDX-License-Identifier: Apache-2.0
#include "serve/python_repr.h"

#include <fmt/format.h>

#include <cmath>

namespace lockstep {
namespace {

template <typename ToText>
std::string list(std::span<const float> values, ToText&& to_text) {
  std::string out = "[";
  for (const float value : values) {
    if (out.size() > 1) out += ", ";
    out += to_text(static_cast<double>(value));
  }
  return out += ']';
}

}  // namespace

std::string python_repr(double value) {
  if (std::isnan(value)) return "nan";  // Python shows no sign
  // {fmt} switches to exponents where Python does, but omits the `.0`.
  std::string text = fmt::format("{}", value);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

std::string python_json_number(double value) {
  if (std::isfinite(value)) return python_repr(value);
  return std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}

std::string python_list(std::span<const float> values) { return list(values, python_repr); }
std::string python_json_list(std::span<const float> values) { return list(values, python_json_number); }

}  // namespace lockstep
