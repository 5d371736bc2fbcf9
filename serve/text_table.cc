// SPDX-License-Identifier: Apache-2.0
#include "serve/text_table.h"

#include <absl/strings/escaping.h>

#include <algorithm>

#include "core/base/check.h"

namespace lockstep {
namespace {

size_t characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// Length of the UTF-8 sequence that `text` starts with; 0 when there is none.
size_t utf8_sequence(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  const size_t length = first < 0x80   ? 1
                        : first < 0xc2 ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf5 ? 4
                                       : 0;
  if (length > text.size()) return 0;
  const std::string_view rest = text.substr(1, length == 0 ? 0 : length - 1);
  const bool sound =
      std::all_of(rest.begin(), rest.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; });
  return sound ? length : 0;
}

}  // namespace

std::string text_table(const std::vector<std::string>& heading, const std::vector<std::vector<std::string>>& rows) {
  constexpr size_t kGap = 2;
  std::vector<const std::vector<std::string>*> lines;
  if (!heading.empty()) lines.push_back(&heading);
  for (const auto& row : rows) lines.push_back(&row);
  if (lines.empty()) return "";
  std::vector<size_t> widths(lines.front()->size());
  for (const auto* line : lines) {
    LOCKSTEP_CHECK_EQ(line->size(), widths.size());
    for (size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], characters((*line)[i]));
  }
  std::string out;
  for (const auto* line : lines) {
    for (size_t i = 0; i < widths.size(); ++i) {
      out += (*line)[i];
      if (i + 1 < widths.size()) out.append(widths[i] - characters((*line)[i]) + kGap, ' ');
    }
    out.erase(out.find_last_not_of(' ') + 1);
    out += '\n';
  }
  return out;
}

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = utf8_sequence(text);
    const std::string_view piece = text.substr(0, std::max<size_t>(1, length));
    // U+0080 to U+009F are control characters too.
    const bool control = length == 2 && piece[0] == '\xc2' && static_cast<unsigned char>(piece[1]) < 0xa0;
    if (length > 1 && !control) {
      out += piece;
    } else {
      out += piece == "\"" || piece == "'" ? std::string(piece) : absl::CHexEscape(std::string(piece));
    }
    text.remove_prefix(piece.size());
  }
  return out;
}

}  // namespace lockstep
