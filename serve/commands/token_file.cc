// SPDX-License-Identifier: Apache-2.0
#include "serve/commands/token_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/file.h"

namespace lockstep {

absl::StatusOr<std::string> read_token(const std::string& path) {
  constexpr size_t kShortest = 8;
  LOCKSTEP_ASSIGN_OR_RETURN(std::string token, read_file(path, 1 << 16));
  token.erase(std::min(token.find_first_of("\r\n"), token.size()));
  if (token.size() < kShortest) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: an access token of {} characters: expected at least {} on the first line", path, token.size(), kShortest));
  }
  return token;
}

}  // namespace lockstep
