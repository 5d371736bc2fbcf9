// SPDX-License-Identifier: Apache-2.0
// LevelDB-format tables, the container of a tensor bundle's index.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

struct TableEntry {
  std::string key;
  std::string value;
};

// Largest table that is read. An index of a million tensors is a tenth of it.
inline constexpr uint64_t kMaxTableBytes = uint64_t{1} << 28;

// The entries of the table whose bytes are `file`, in increasing key order. Uncompressed and snappy blocks. Every byte
// is accounted for: all blocks (metaindex too) tile the file, every CRC holds, padding is zero. `path` is for messages,
// which name the offset and what was expected there.
//
// Why not LevelDB's Table: it allocates whatever size a block handle states, and does not look at the bytes it does not
// need; an index may come from anywhere.
absl::StatusOr<std::vector<TableEntry>> read_table(std::string_view file, const std::string& path);

}  // namespace lockstep
