// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <vector>

namespace lockstep {

// Every tag of every summary in the event files of a directory.
std::multiset<std::string> event_tags(const std::string& directory);

// The serialised GraphDef of every event that holds one, in the order of the files' names.
std::vector<std::string> event_graphs(const std::string& directory);

}  // namespace lockstep
