// SPDX-License-Identifier: Apache-2.0
#include "io/table_reader.h"

#include <fmt/format.h>
#include <snappy.h>

#include <cstdint>
#include <cstring>
#include <optional>

#include "io/crc32c.h"
#include "io/varint.h"

namespace lockstep {
namespace {

constexpr uint64_t kMagic = 0xdb4775248b80fb57u;
constexpr size_t kFooterBytes = 48;
constexpr size_t kMagicBytes = 8;
constexpr size_t kTrailerBytes = 5;  // type, masked CRC
constexpr char kUncompressed = 0, kSnappy = 1;

struct BlockHandle {
  uint64_t offset = 0;
  uint64_t size = 0;                                              // without the trailer
  uint64_t end() const { return offset + size + kTrailerBytes; }  // no overflow: checked against the file size first
};

uint32_t load_u32(std::string_view bytes) {
  uint32_t value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

class TableParser {
 public:
  TableParser(std::string_view file, const std::string& path) : file_(file), path_(path) {}

  absl::StatusOr<std::vector<TableEntry>> parse() {
    LOCKSTEP_RETURN_IF_ERROR(read_footer());
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string meta_block, read_block(metaindex_));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto meta_entries, parse_block(meta_block, metaindex_));
    if (!meta_entries.empty()) return damaged(metaindex_.offset, "an empty metaindex block", "entries in it");
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string index_block, read_block(index_));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto index_entries, parse_block(index_block, index_));

    std::vector<TableEntry> entries;
    uint64_t expected_offset = 0;
    for (const TableEntry& index_entry : index_entries) {
      std::string_view value = index_entry.value;
      const auto handle = parse_handle(value);
      if (!handle || !value.empty() || handle->offset != expected_offset) {
        return damaged(index_.offset, fmt::format("a data block at offset {} in the index block", expected_offset),
                       "another block handle");
      }
      LOCKSTEP_RETURN_IF_ERROR(append_data_block(*handle, index_entry.key, entries));
      expected_offset = handle->end();
    }
    if (metaindex_.offset != expected_offset || index_.offset != metaindex_.end() ||
        index_.end() != file_.size() - kFooterBytes) {
      return damaged(expected_offset, "data blocks, metaindex block, index block and footer one after the other",
                     "bytes that belong to none");
    }
    return entries;
  }

 private:
  absl::Status damaged(uint64_t offset, std::string_view expected, std::string_view found) const {
    return absl::DataLossError(
        fmt::format("{}: offset {}: expected {}, found {}: the file is damaged or not a tensor "
                    "bundle index",
                    path_, offset, expected, found));
  }

  absl::Status read_footer() {
    if (file_.size() < kFooterBytes) {
      return damaged(0, fmt::format("at least {} bytes", kFooterBytes), fmt::format("{} bytes", file_.size()));
    }
    const size_t footer_offset = file_.size() - kFooterBytes;
    std::string_view footer = file_.substr(footer_offset);
    uint64_t magic;
    std::memcpy(&magic, footer.data() + kFooterBytes - kMagicBytes, sizeof(magic));
    if (magic != kMagic) {
      return damaged(file_.size() - kMagicBytes, fmt::format("magic number {:016x}", kMagic),
                     fmt::format("{:016x}", magic));
    }
    footer.remove_suffix(kMagicBytes);
    const auto metaindex = parse_handle(footer);
    const auto index = metaindex ? parse_handle(footer) : std::nullopt;
    if (!index || footer.find_first_not_of('\0') != std::string_view::npos) {
      return damaged(footer_offset, "two block handles inside the file and zero padding", "something else");
    }
    metaindex_ = *metaindex;
    index_ = *index;
    return absl::OkStatus();
  }

  // A handle whose block and trailer lie before the footer.
  std::optional<BlockHandle> parse_handle(std::string_view& bytes) const {
    const auto offset = take_varint(bytes);
    const auto size = offset ? take_varint(bytes) : std::nullopt;
    const uint64_t limit = file_.size() - kFooterBytes;
    if (!size || *offset > limit || *size > limit - *offset || limit - *offset - *size < kTrailerBytes) {
      return std::nullopt;
    }
    return BlockHandle{*offset, *size};
  }

  // The block's contents, CRC verified, decompressed.
  absl::StatusOr<std::string> read_block(const BlockHandle& handle) const {
    const std::string_view typed = file_.substr(handle.offset, handle.size + 1);
    const uint32_t stored = load_u32(file_.substr(handle.offset + handle.size + 1));
    const uint32_t computed = masked_crc32c(typed);
    if (stored != computed) {
      return damaged(handle.offset, fmt::format("a block of {} bytes with masked CRC {:08x}", handle.size, stored),
                     fmt::format("CRC {:08x}", computed));
    }
    const std::string_view contents = typed.substr(0, handle.size);
    switch (typed.back()) {
      case kUncompressed:
        return std::string(contents);
      case kSnappy:
        return decompress(contents, handle.offset);
      default:
        return damaged(handle.offset + handle.size, "block type 0 (none) or 1 (snappy)",
                       fmt::format("{}", static_cast<int>(static_cast<unsigned char>(typed.back()))));
    }
  }

  absl::StatusOr<std::string> decompress(std::string_view compressed, uint64_t offset) const {
    // A snappy element of three bytes makes at most 64: whoever claims more lies, and gets no memory.
    const uint64_t limit = 22 * compressed.size() + 64;
    size_t size = 0;
    if (!snappy::GetUncompressedLength(compressed.data(), compressed.size(), &size) || size > limit) {
      return damaged(offset, fmt::format("a snappy block of at most {} bytes", limit), "another size");
    }
    std::string contents(size, '\0');
    if (!snappy::RawUncompress(compressed.data(), compressed.size(), contents.data())) {
      return damaged(offset, "a snappy block", "bytes that do not decompress");
    }
    return contents;
  }

  // Entries share a prefix with the key before; the restart array behind them is for binary search, not needed here.
  absl::StatusOr<std::vector<TableEntry>> parse_block(std::string_view block, const BlockHandle& handle) const {
    const uint64_t restarts = block.size() < 4 ? 0 : load_u32(block.substr(block.size() - 4));
    if (restarts == 0 || restarts > block.size() / 4 - 1) {
      return damaged(handle.offset, "a restart array at the end of the block", fmt::format("{} restarts", restarts));
    }
    std::string_view data = block.substr(0, block.size() - 4 * (restarts + 1));
    std::vector<TableEntry> entries;
    std::string key;
    while (!data.empty()) {
      const auto shared = take_varint(data);
      const auto suffix_bytes = shared ? take_varint(data) : std::nullopt;
      const auto value_bytes = suffix_bytes ? take_varint(data) : std::nullopt;
      if (!value_bytes || *shared > key.size() || *suffix_bytes > data.size() ||
          *value_bytes > data.size() - *suffix_bytes) {
        return damaged(handle.offset, fmt::format("entry {} inside the block", entries.size()),
                       "lengths that lead out of it");
      }
      std::string next = key.substr(0, *shared) + std::string(data.substr(0, *suffix_bytes));
      if (!entries.empty() && next <= key) {
        return damaged(handle.offset, "keys in increasing order", fmt::format("entry {} out of order", entries.size()));
      }
      key = std::move(next);
      entries.push_back({key, std::string(data.substr(*suffix_bytes, *value_bytes))});
      data.remove_prefix(*suffix_bytes + *value_bytes);
    }
    return entries;
  }

  absl::Status append_data_block(const BlockHandle& handle, const std::string& last_key,
                                 std::vector<TableEntry>& entries) const {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string block, read_block(handle));
    LOCKSTEP_ASSIGN_OR_RETURN(auto block_entries, parse_block(block, handle));
    if (block_entries.empty() || block_entries.back().key > last_key ||
        (!entries.empty() && block_entries.front().key <= entries.back().key)) {
      return damaged(handle.offset, "the keys that the index block announces", "other keys");
    }
    for (TableEntry& entry : block_entries) entries.push_back(std::move(entry));
    return absl::OkStatus();
  }

  const std::string_view file_;
  const std::string& path_;
  BlockHandle metaindex_, index_;
};

}  // namespace

absl::StatusOr<std::vector<TableEntry>> read_table(std::string_view file, const std::string& path) {
  return TableParser(file, path).parse();
}

}  // namespace lockstep
