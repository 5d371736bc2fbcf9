// SPDX-License-Identifier: Apache-2.0
// Decimal numbers of JSON text to float32. Thread-safe.
#pragma once

#include <optional>

namespace lockstep {

// Reads the number (RFC 8259, section 6) that begins at `at`, rounded to double first and then to float, as JSON
// parsers do, and moves `at` behind it. Nothing when there is none, or when it is beyond float32; `at` is then
// undefined. `end` points to a byte that belongs to no number, such as the NUL of a string.
std::optional<float> read_decimal(const char*& at, const char* end);

}  // namespace lockstep
