// SPDX-License-Identifier: Apache-2.0
// The files that `lockstep predict` is given.
#pragma once

#include <string>
#include <string_view>

#include "core/base/status.h"

namespace lockstep {

// What messages call it: "standard input" for "-".
std::string input_name(const std::string& path);

// Its contents, or all of standard input for "-"; `expected` says what kind of file it should be.
absl::StatusOr<std::string> read_input(const std::string& path, std::string_view expected);

// What read_input() expects of a file of instances.
inline constexpr std::string_view kJsonLines = "one JSON value a line, as `lockstep request create` writes";

// The bytes of a picture, or all of standard input for "-".
absl::StatusOr<std::string> read_picture(const std::string& path);

}  // namespace lockstep
