// SPDX-License-Identifier: Apache-2.0
// Abseil of the distributions has a string view of its own.
#pragma once

#include <absl/strings/string_view.h>

#include <string_view>

#include "core/base/status.h"

namespace lockstep {

inline absl::string_view to_abseil(std::string_view text) { return {text.data(), text.size()}; }
// For as long as the status lives.
inline std::string_view status_text(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

}  // namespace lockstep
