// SPDX-License-Identifier: Apache-2.0
// Decimal numbers of JSON text to float32. Thread-safe.
#pragma once

#include <optional>
#include <span>

namespace lockstep {

// Reads the number (RFC 8259, section 6) that begins at `at`, rounded to double first and then to float, as JSON
// parsers do, and moves `at` behind it. Nothing when there is none, or when it is beyond float32; `at` is then
// undefined. `end` points to a byte that belongs to no number, such as the NUL of a string.
std::optional<float> read_decimal(const char*& at, const char* end);

// So many numbers, separated by commas, with white space (RFC 8259, section 2) or none around each. False when they are
// not that; `at` is then undefined.
bool read_decimals(const char*& at, const char* end, std::span<float> out);

}  // namespace lockstep
