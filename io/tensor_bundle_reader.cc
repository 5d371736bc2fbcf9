// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "core/base/suggest.h"
#include "io/crc32c.h"
#include "io/proto/tensor_bundle.pb.h"
#include "io/table_reader.h"
#include "io/tensor_bundle.h"
#include "io/tensor_bundle_names.h"
#include "io/varint.h"

namespace lockstep {
namespace {

constexpr int kMaxShards = 1024;
constexpr int kMaxDimensions = 254;  // TensorFlow's limit
constexpr int kBundleVersion = 1;    // the version of the format that this reader knows

template <typename Proto>
absl::StatusOr<Proto> parse_proto(const std::string& bytes, const std::string& where) {
  Proto message;
  if (!message.ParseFromString(bytes)) {
    return absl::DataLossError(fmt::format("{}: expected a {}, found {} bytes that are none", where,
                                           Proto::descriptor()->name(), bytes.size()));
  }
  return message;
}

absl::StatusOr<int> parse_header(const TableEntry& entry, const std::string& path) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto header,
                            parse_proto<proto::BundleHeaderProto>(entry.value, path + ": header entry"));
  if (header.num_shards() < 1 || header.num_shards() > kMaxShards) {
    return absl::DataLossError(
        fmt::format("{}: header: expected 1 to {} shards, found {}", path, kMaxShards, header.num_shards()));
  }
  if (header.endianness() != proto::BundleHeaderProto::LITTLE) {
    return absl::UnimplementedError(fmt::format("{}: header: expected little-endian data, found big-endian", path));
  }
  if (header.version().min_consumer() > kBundleVersion) {
    return absl::UnimplementedError(fmt::format("{}: header: needs a reader of version {}, this one has version {}",
                                                path, header.version().min_consumer(), kBundleVersion));
  }
  return header.num_shards();
}

absl::StatusOr<BundleEntry> parse_entry(const TableEntry& table_entry, const std::string& path) {
  const std::string where = fmt::format("{}: tensor `{}`", path, table_entry.key);
  LOCKSTEP_ASSIGN_OR_RETURN(const auto message, parse_proto<proto::BundleEntryProto>(table_entry.value, where));
  if (message.slices_size() > 0) {
    return absl::UnimplementedError(fmt::format(
        "{}: a partitioned variable: save it unpartitioned (without a partitioner) to read it here", where));
  }
  BundleEntry entry;
  entry.dtype = static_cast<TensorDtype>(message.dtype());
  if (message.shape().unknown_rank() || message.shape().dim_size() > kMaxDimensions) {
    return absl::DataLossError(fmt::format("{}: expected a known shape of at most {} dimensions, found {}", where,
                                           kMaxDimensions, message.shape().dim_size()));
  }
  for (const auto& dim : message.shape().dim()) entry.shape.push_back(dim.size());
  if (message.offset() < 0 || message.size() < 0 || message.shard_id() < 0) {
    return absl::DataLossError(fmt::format("{}: negative offset {}, size {} or shard {}", where, message.offset(),
                                           message.size(), message.shard_id()));
  }
  entry.shard = message.shard_id();
  entry.offset = static_cast<uint64_t>(message.offset());
  entry.size_bytes = static_cast<uint64_t>(message.size());
  entry.masked_crc = message.crc32c();

  const auto elements = element_count(entry.shape);
  const auto element_bytes = static_cast<uint64_t>(dtype_size(entry.dtype));
  if (!elements || (element_bytes > 0 && *elements * element_bytes != entry.size_bytes)) {
    return absl::DataLossError(fmt::format("{}: {} {} does not fit its {} bytes", where, dtype_name(entry.dtype),
                                           shape_text(entry.shape), entry.size_bytes));
  }
  return entry;
}

}  // namespace

struct TensorBundleReader::Contents {
  std::string prefix;
  std::map<std::string, BundleEntry, std::less<>> entries;
  std::vector<std::unique_ptr<RandomAccessFile>> data;  // one per shard

  std::string index_path() const { return bundle_index_path(prefix); }

  absl::Status read_index() {
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string file, read_file(index_path(), kMaxTableBytes));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto table, read_table(file, index_path()));
    if (table.empty() || !table[0].key.empty()) {
      return absl::DataLossError(fmt::format("{}: expected the bundle header first, found {}", index_path(),
                                             table.empty() ? "nothing" : fmt::format("`{}`", table[0].key)));
    }
    LOCKSTEP_ASSIGN_OR_RETURN(const int shards, parse_header(table[0], index_path()));
    for (size_t i = 1; i < table.size(); ++i) {
      LOCKSTEP_ASSIGN_OR_RETURN(BundleEntry entry, parse_entry(table[i], index_path()));
      entries.emplace(table[i].key, std::move(entry));
    }
    data.resize(static_cast<size_t>(shards));
    return absl::OkStatus();
  }

  absl::Status open_data() {
    const int shards = static_cast<int>(data.size());
    for (int shard = 0; shard < shards; ++shard) {
      auto file = RandomAccessFile::open(bundle_data_path(prefix, shard, shards));
      if (!file.ok()) return annotate(file.status(), index_path() + " needs its data file");
      data[static_cast<size_t>(shard)] = *std::move(file);
    }
    return absl::OkStatus();
  }

  // Tensors lie inside their data file and apart from each other, and nothing lies behind the last one.
  absl::Status check_ranges() const {
    std::vector<std::vector<std::pair<const BundleEntry*, const std::string*>>> shards(data.size());
    for (const auto& [name, entry] : entries) {
      if (static_cast<size_t>(entry.shard) >= shards.size()) {
        return absl::DataLossError(
            fmt::format("{}: tensor `{}`: shard {} of {}", index_path(), name, entry.shard, shards.size()));
      }
      if (entry.size_bytes > 0) shards[static_cast<size_t>(entry.shard)].emplace_back(&entry, &name);
    }
    for (size_t shard = 0; shard < shards.size(); ++shard) {
      std::sort(shards[shard].begin(), shards[shard].end(),
                [](const auto& a, const auto& b) { return a.first->offset < b.first->offset; });
      uint64_t end = 0;
      for (const auto& [entry, name] : shards[shard]) {
        if (entry->offset < end) {
          return absl::DataLossError(
              fmt::format("{}: tensor `{}` at offset {} of the data overlaps the one before, "
                          "which ends at {}",
                          index_path(), *name, entry->offset, end));
        }
        end = entry->offset + entry->size_bytes;  // both below 2^63
      }
      if (end != data[shard]->size()) {
        return absl::DataLossError(
            fmt::format("{}: expected {} bytes as {} says, found {}: the file is cut, or the "
                        "two are not of one checkpoint",
                        data[shard]->path(), end, index_path(), data[shard]->size()));
      }
    }
    return absl::OkStatus();
  }

  // Reads the raw bytes of an entry.
  absl::Status read_raw(const BundleEntry& entry, void* out) const {
    return read_part(entry, 0, entry.size_bytes, out);
  }

  // … and those from `from` on.
  absl::Status read_part(const BundleEntry& entry, uint64_t from, uint64_t bytes, void* out) const {
    const RandomAccessFile& file = *data[static_cast<size_t>(entry.shard)];
    LOCKSTEP_ASSIGN_OR_RETURN(const size_t got, file.read_at(entry.offset + from, bytes, out));
    if (got == bytes) return absl::OkStatus();
    return absl::DataLossError(
        fmt::format("{}: offset {}: expected {} bytes, found {}", file.path(), entry.offset + from, bytes, got));
  }

  absl::Status bad_crc(std::string_view name, const BundleEntry& entry, uint32_t computed) const {
    return absl::DataLossError(
        fmt::format("{}: tensor `{}` at offset {}: expected masked CRC {:08x}, found {:08x}: the "
                    "data is damaged",
                    data[static_cast<size_t>(entry.shard)]->path(), name, entry.offset, entry.masked_crc, computed));
  }

  absl::Status wrong_type(std::string_view name, const BundleEntry& entry, std::string_view wanted) const {
    return absl::InvalidArgumentError(fmt::format("{}: tensor `{}`: expected {}, found {} {}", index_path(), name,
                                                  wanted, dtype_name(entry.dtype), shape_text(entry.shape)));
  }
};

TensorBundleReader::TensorBundleReader(std::unique_ptr<Contents> contents) : contents_(std::move(contents)) {}
TensorBundleReader::~TensorBundleReader() = default;

absl::StatusOr<std::unique_ptr<TensorBundleReader>> TensorBundleReader::open(const std::string& path) {
  auto contents = std::make_unique<Contents>();
  LOCKSTEP_ASSIGN_OR_RETURN(contents->prefix, bundle_prefix(path));
  LOCKSTEP_RETURN_IF_ERROR(contents->read_index());
  LOCKSTEP_RETURN_IF_ERROR(contents->open_data());
  LOCKSTEP_RETURN_IF_ERROR(contents->check_ranges());
  return std::unique_ptr<TensorBundleReader>(new TensorBundleReader(std::move(contents)));
}

const std::string& TensorBundleReader::prefix() const { return contents_->prefix; }
const std::map<std::string, BundleEntry, std::less<>>& TensorBundleReader::entries() const {
  return contents_->entries;
}

absl::StatusOr<const BundleEntry*> TensorBundleReader::find(std::string_view name) const {
  const auto it = contents_->entries.find(name);
  if (it != contents_->entries.end()) return &it->second;
  std::vector<std::string> names;
  for (const auto& [known, entry] : contents_->entries) names.push_back(known);
  return absl::NotFoundError(
      fmt::format("{}: no tensor `{}`{}", contents_->index_path(), name, did_you_mean(name, names)));
}

absl::Status TensorBundleReader::read_bytes(std::string_view name, std::span<char> out) const {
  LOCKSTEP_ASSIGN_OR_RETURN(const BundleEntry* entry, find(name));
  if (dtype_size(entry->dtype) == 0) return contents_->wrong_type(name, *entry, "a numeric tensor");
  if (out.size() != entry->size_bytes) {
    return contents_->wrong_type(name, *entry, fmt::format("{} bytes", out.size()));
  }
  LOCKSTEP_RETURN_IF_ERROR(contents_->read_raw(*entry, out.data()));
  const uint32_t computed = masked_crc32c({out.data(), out.size()});
  return computed == entry->masked_crc ? absl::OkStatus() : contents_->bad_crc(name, *entry, computed);
}

absl::Status TensorBundleReader::read(std::string_view name, std::span<float> out) const {
  LOCKSTEP_ASSIGN_OR_RETURN(const BundleEntry* entry, find(name));
  if (entry->dtype != TensorDtype::kFloat32) return contents_->wrong_type(name, *entry, "float32");
  return read_bytes(name, {reinterpret_cast<char*>(out.data()), out.size_bytes()});
}

absl::Status TensorBundleReader::visit_bytes(std::string_view name,
                                             absl::FunctionRef<void(std::string_view piece)> visit) const {
  constexpr uint64_t kPieceBytes = 1 << 20;  // a multiple of every element's size
  LOCKSTEP_ASSIGN_OR_RETURN(const BundleEntry* entry, find(name));
  if (entry->dtype == TensorDtype::kString || entry->dtype == TensorDtype::kVariant) {  // whose CRC is another
    return contents_->wrong_type(name, *entry, "a tensor of numbers");
  }
  std::string piece;
  uint32_t crc = 0;
  for (uint64_t at = 0; at < entry->size_bytes; at += piece.size()) {
    piece.resize(std::min(kPieceBytes, entry->size_bytes - at));
    LOCKSTEP_RETURN_IF_ERROR(contents_->read_part(*entry, at, piece.size(), piece.data()));
    crc = crc32c_extend(crc, piece);
    visit(piece);
  }
  return mask_crc32c(crc) == entry->masked_crc ? absl::OkStatus() : contents_->bad_crc(name, *entry, mask_crc32c(crc));
}

absl::StatusOr<std::vector<int64_t>> TensorBundleReader::read_int64(std::string_view name) const {
  LOCKSTEP_ASSIGN_OR_RETURN(const BundleEntry* entry, find(name));
  const auto read_as = [&]<typename T>(T) -> absl::StatusOr<std::vector<int64_t>> {
    std::vector<T> values(entry->size_bytes / sizeof(T));
    LOCKSTEP_RETURN_IF_ERROR(read_bytes(name, {reinterpret_cast<char*>(values.data()), entry->size_bytes}));
    return std::vector<int64_t>(values.begin(), values.end());
  };
  if (entry->dtype == TensorDtype::kInt64) return read_as(int64_t{});
  if (entry->dtype == TensorDtype::kInt32) return read_as(int32_t{});
  return contents_->wrong_type(name, *entry, "int64 or int32");
}

// Layout: varint lengths | masked CRC of the lengths | the strings. Both CRCs take a length as uint32 (uint64 from 2^32
// on), not as the varint; the entry's CRC goes on over the stored CRC and the strings.
absl::StatusOr<std::vector<std::string>> TensorBundleReader::read_strings(std::string_view name) const {
  LOCKSTEP_ASSIGN_OR_RETURN(const BundleEntry* entry, find(name));
  if (entry->dtype != TensorDtype::kString) return contents_->wrong_type(name, *entry, "string");
  std::string raw(entry->size_bytes, '\0');
  LOCKSTEP_RETURN_IF_ERROR(contents_->read_raw(*entry, raw.data()));

  const auto damaged = [&](std::string_view what) {
    return absl::DataLossError(fmt::format("{}: string tensor `{}` at offset {}: {}: the data is damaged",
                                           contents_->data[static_cast<size_t>(entry->shard)]->path(), name,
                                           entry->offset, what));
  };
  std::string_view rest = raw;
  const uint64_t count = *element_count(entry->shape);
  if (count > rest.size()) return damaged("fewer bytes than strings");  // a length takes a byte at least
  std::vector<uint64_t> lengths;
  uint32_t crc = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const auto length = take_varint(rest);
    if (!length) return damaged("lengths are cut off");
    lengths.push_back(*length);
    const size_t length_bytes = *length <= UINT32_MAX ? sizeof(uint32_t) : sizeof(uint64_t);
    crc = crc32c_extend(crc, {reinterpret_cast<const char*>(&lengths.back()), length_bytes});
  }
  uint32_t stored = 0;
  if (rest.size() < sizeof(stored)) return damaged("the CRC of the lengths is cut off");
  std::memcpy(&stored, rest.data(), sizeof(stored));
  if (stored != mask_crc32c(crc)) return damaged("the CRC of the lengths does not match");
  crc = crc32c_extend(crc, rest);
  if (mask_crc32c(crc) != entry->masked_crc) return contents_->bad_crc(name, *entry, mask_crc32c(crc));

  rest.remove_prefix(sizeof(stored));
  std::vector<std::string> strings;
  for (const uint64_t length : lengths) {
    if (length > rest.size()) return damaged("lengths exceed the bytes");
    strings.emplace_back(rest.substr(0, length));
    rest.remove_prefix(length);
  }
  if (!rest.empty()) return damaged("bytes behind the last string");
  return strings;
}

}  // namespace lockstep
