// SPDX-License-Identifier: Apache-2.0
// Tells whether the files of a model have changed, by their sizes and times alone.
#pragma once

#include <string>

namespace lockstep {

// Names, sizes and times of modification of the file, or of what lies in the directory and the ones below it (two
// levels, a thousand files). Of a path that does not exist: "". Never fails.
std::string directory_stamp(const std::string& path);

}  // namespace lockstep
