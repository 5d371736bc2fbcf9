// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/sound_table.h"

#include <snappy.h>

#include <cstring>
#include <optional>
#include <string_view>

#include "io/crc32c.h"
#include "io/varint.h"

namespace lockstep {
namespace {

constexpr size_t kFooterBytes = 48, kTrailerBytes = 5;

struct Handle {
  uint64_t offset = 0, size = 0;
};

std::optional<Handle> take_handle(std::string_view& bytes, size_t table_bytes) {
  const auto offset = take_varint(bytes);
  const auto size = offset ? take_varint(bytes) : std::nullopt;
  if (!size || *offset > table_bytes || *size > table_bytes - *offset ||
      table_bytes - *offset - *size < kTrailerBytes) {
    return std::nullopt;
  }
  return Handle{*offset, *size};
}

void fix(std::string& table, const Handle& handle) {
  const uint32_t crc = masked_crc32c(std::string_view(table).substr(handle.offset, handle.size + 1));
  std::memcpy(table.data() + handle.offset + handle.size + 1, &crc, sizeof(crc));
}

std::string contents_of(const std::string& table, const Handle& handle) {
  std::string block = table.substr(handle.offset, handle.size);
  size_t size = 0;
  if (table[handle.offset + handle.size] != 1 || !snappy::GetUncompressedLength(block.data(), block.size(), &size) ||
      size > 64 * block.size() + 64) {
    return block;
  }
  std::string out(size, '\0');
  return snappy::RawUncompress(block.data(), block.size(), out.data()) ? out : block;
}

}  // namespace

std::string with_sound_block_crcs(std::string table) {
  if (table.size() < kFooterBytes) return table;
  const std::string footer = table.substr(table.size() - kFooterBytes);
  std::string_view handles = footer;
  const auto metaindex = take_handle(handles, table.size());
  const auto index = metaindex ? take_handle(handles, table.size()) : std::nullopt;
  if (!index) return table;
  // Data blocks first, so that where blocks overlap the outer ones, read first, are sound.
  const std::string index_block = contents_of(table, *index);
  std::string_view entries = index_block;
  while (!entries.empty()) {
    const auto shared = take_varint(entries);
    const auto suffix = shared ? take_varint(entries) : std::nullopt;
    const auto value = suffix ? take_varint(entries) : std::nullopt;
    if (!value || *suffix > entries.size() || *value > entries.size() - *suffix) break;
    std::string_view handle_bytes = entries.substr(*suffix, *value);
    if (const auto data = take_handle(handle_bytes, table.size())) fix(table, *data);
    entries.remove_prefix(*suffix + *value);
  }
  fix(table, *metaindex);
  fix(table, *index);
  return table;
}

}  // namespace lockstep
