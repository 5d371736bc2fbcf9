// SPDX-License-Identifier: Apache-2.0
// Tables of text as gcloud prints them: columns to the left, two spaces apart, nothing behind the last one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

// One line a row, each ended by \n. Rows have as many cells as the heading; an empty heading prints none. Widths count
// UTF-8 characters.
std::string text_table(const std::vector<std::string>& heading, const std::vector<std::vector<std::string>>& rows);

// `text` on one line, safe for a terminal: control characters and bytes that are no UTF-8 become \n, \x1b, …
std::string printable(std::string_view text);

}  // namespace lockstep
