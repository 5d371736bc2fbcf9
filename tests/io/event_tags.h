// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

namespace lockstep {

// Every tag of every summary in the event files of a directory.
std::multiset<std::string> event_tags(const std::string& directory);

}  // namespace lockstep
