// SPDX-License-Identifier: Apache-2.0
// Files of instances: one a line, UTF-8; a byte order mark, and CR before the end of a line, are passed over. No line
// is empty: value i comes from line i + 1. `name` of the text is for messages, which are those of gcloud's client with
// the place; more than `most` lines are refused (0: any number). Thread-safe.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

// Most instances that online prediction, by a server, takes from one file; prediction here has no such limit.
inline constexpr int64_t kMostOnlineInstances = 100;

// Each line is one JSON value.
absl::StatusOr<std::vector<nlohmann::json>> parse_json_lines(std::string_view text, const std::string& name,
                                                             int64_t most);

// The same lines, checked, and as they are written: no digit of a number changes.
absl::StatusOr<std::vector<std::string>> json_lines(std::string_view text, const std::string& name, int64_t most);

// Each line is any text; they are returned as strings of JSON.
absl::StatusOr<std::vector<std::string>> text_lines_as_json(std::string_view text, const std::string& name,
                                                            int64_t most);

// Is all of `text` one JSON value? An error names line and column.
absl::Status check_json(std::string_view text, const std::string& name);

}  // namespace lockstep
