// SPDX-License-Identifier: Apache-2.0
// The file of --auth_token_file.
#pragma once

#include <string>

#include "core/base/status.h"

namespace lockstep {

// The first line of the file, of 8 characters at least. No message shows it.
absl::StatusOr<std::string> read_token(const std::string& path);

}  // namespace lockstep
