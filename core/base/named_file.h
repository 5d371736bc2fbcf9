// SPDX-License-Identifier: Apache-2.0
// Files that a user names on a command line or in a configuration.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/status.h"

namespace lockstep {

// As read_file(), but NotFound says what kind of file was `expected`: "PATH: no such file; expected a PNG".
absl::StatusOr<std::string> read_named_file(const std::string& path, uint64_t limit_bytes, std::string_view expected);

}  // namespace lockstep
