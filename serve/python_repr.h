// SPDX-License-Identifier: Apache-2.0
// Numbers as Python prints them: what the tutorial's files and tables hold. Thread-safe.
#pragma once

#include <span>
#include <string>

namespace lockstep {

// repr() of a Python float: the fewest digits that read back as the same double, fixed notation for
// 1e-4 <= |x| < 1e16 and else an exponent of at least two digits, `.0` behind a whole number; `inf`, `nan`.
std::string python_repr(double value);

// A list of float32 values, each widened to double first, as tolist() does: `[0.9992265701293945, 3.5e-06]`.
std::string python_list(std::span<const float> values);

// The same two, with the tokens of json.dumps for what is not finite: NaN, Infinity, -Infinity.
std::string python_json_number(double value);
std::string python_json_list(std::span<const float> values);

}  // namespace lockstep
