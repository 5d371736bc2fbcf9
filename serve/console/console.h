// SPDX-License-Identifier: Apache-2.0
// The files of the web page, which are part of the program. Immutable; thread-safe.
#pragma once

#include <string_view>

namespace lockstep {

struct ConsoleFile {
  std::string_view content, content_type;
  std::string_view etag;  // of the content, quotes included
};

// Of "/" and "/console/…", as in a request without its query; nullptr for any other path.
const ConsoleFile* find_console_file(std::string_view path);

}  // namespace lockstep
