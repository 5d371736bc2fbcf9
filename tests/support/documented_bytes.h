// SPDX-License-Identifier: Apache-2.0
// Worked examples of docs/formats, for tests that compare them with what the code writes.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

// The bytes of the `index`-th code block (from 0) of a Markdown file, in which each line is hexadecimal pairs and
// "text" in quotes, one space between them, and a comment behind two spaces or more. A line that begins with "…" is a
// gap: the pieces between the gaps come one by one.
std::vector<std::string> documented_bytes(const std::string& path, int index);

// Whether the pieces lie in `bytes` in this order, the first at its start and, unless it is empty, the last at its end.
bool holds_in_order(const std::string& bytes, const std::vector<std::string>& pieces);

}  // namespace lockstep
