// SPDX-License-Identifier: Apache-2.0
// Errors of importing begin with the file: "PATH: node `x` (MatMul): what is wrong".
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "core/base/status.h"

namespace lockstep {

// An error in what `node` needs, of the file `path` or of another: "PATH: node: error", with the path once.
inline absl::Status needed_by(std::string_view node, std::string_view path, const absl::Status& status) {
  const std::string begin = fmt::format("{}: ", path);
  std::string message(status.message());
  if (message.starts_with(begin)) message.erase(0, begin.size());
  return absl::Status(status.code(), fmt::format("{}: {}: {}", path, node, message));
}

}  // namespace lockstep
