// SPDX-License-Identifier: Apache-2.0
#include "tests/support/documented_bytes.h"

#include <sstream>

#include "core/base/check.h"
#include "tests/support/fault_file.h"

namespace lockstep {
namespace {

constexpr char kFence[] = "```";
constexpr char kGap[] = "…";

// The lines of the `index`-th code block.
std::vector<std::string> code_block(const std::string& path, int index) {
  std::istringstream file(slurp(path));
  std::vector<std::string> lines;
  int fences = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(kFence)) {
      ++fences;
    } else if (fences == 2 * index + 1) {
      lines.push_back(line);
    }
  }
  LOCKSTEP_CHECK(fences > 2 * index + 1);
  return lines;
}

std::string bytes_of_line(const std::string& line) {
  std::string bytes;
  size_t at = 0;
  while (at < line.size() && line[at] != ' ') {
    if (line[at] == '"') {
      const size_t end = line.find('"', at + 1);
      LOCKSTEP_CHECK(end != std::string::npos);
      bytes += line.substr(at + 1, end - at - 1);
      at = end + 2;
    } else {
      size_t digits = 0;
      bytes += static_cast<char>(std::stoi(line.substr(at, 2), &digits, 16));
      LOCKSTEP_CHECK_EQ(digits, 2u);
      at += 3;
    }
  }
  return bytes;
}

}  // namespace

std::vector<std::string> documented_bytes(const std::string& path, int index) {
  std::vector<std::string> pieces(1);
  for (const std::string& line : code_block(path, index)) {
    const size_t start = line.find_first_not_of(' ');
    if (start == std::string::npos) continue;
    if (line.compare(start, sizeof(kGap) - 1, kGap) == 0) {
      pieces.emplace_back();
    } else {
      pieces.back() += bytes_of_line(line.substr(start));
    }
  }
  return pieces;
}

bool holds_in_order(const std::string& bytes, const std::vector<std::string>& pieces) {
  size_t at = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const size_t found = bytes.find(pieces[i], at);
    if (found == std::string::npos || (i == 0 && found != 0)) return false;
    at = found + pieces[i].size();
  }
  return pieces.back().empty() || at == bytes.size();
}

}  // namespace lockstep
