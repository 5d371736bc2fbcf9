// SPDX-License-Identifier: Apache-2.0
#include "core/base/named_file.h"

#include <fmt/format.h>

#include "core/base/file.h"

namespace lockstep {

absl::StatusOr<std::string> read_named_file(const std::string& path, uint64_t limit_bytes, std::string_view expected) {
  auto bytes = read_file(path, limit_bytes);
  if (!absl::IsNotFound(bytes.status())) return bytes;
  return absl::NotFoundError(fmt::format("{}: no such file; expected {}", path, expected));
}

}  // namespace lockstep
