// SPDX-License-Identifier: Apache-2.0
// How users name a version: by its number, or by a name, which begins with a letter.
#pragma once

#include <string_view>

namespace lockstep {

// Digits alone, however many.
inline bool is_version_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace lockstep
