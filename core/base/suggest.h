// SPDX-License-Identifier: Apache-2.0
// "Did you mean …" for flags, configuration keys and enum values.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

// Levenshtein distance.
int edit_distance(std::string_view a, std::string_view b);

// The candidate nearest to `name`, or "" when none is near (distance over half of the longer name).
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

// " (did you mean `x`?)" or "": to append to an error message.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace lockstep
