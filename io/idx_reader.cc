// SPDX-License-Identifier: Apache-2.0
#include "io/idx_reader.h"

#include <fmt/format.h>

#include <array>

#include "core/base/check.h"

namespace lockstep {
namespace {

constexpr int kHeaderField = 4;
constexpr unsigned kTypeUint8 = 0x08;

uint32_t big_endian(const uint8_t* p) {
  return (uint32_t{p[0]} << 24) | (uint32_t{p[1]} << 16) | (uint32_t{p[2]} << 8) | uint32_t{p[3]};
}

std::string_view kind_name(IdxKind kind) { return kind == IdxKind::kImages ? "images" : "labels"; }

bool dimensions_fit(IdxKind kind, int dimensions) {
  return kind == IdxKind::kImages ? dimensions == 3 || dimensions == 4 : dimensions == 1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<IdxReader>> IdxReader::open(const std::string& path, IdxKind kind) {
  LOCKSTEP_ASSIGN_OR_RETURN(std::unique_ptr<GzipReader> stream, GzipReader::open(path));
  std::unique_ptr<IdxReader> reader(new IdxReader(std::move(stream)));
  LOCKSTEP_RETURN_IF_ERROR(reader->read_header(kind));
  LOCKSTEP_RETURN_IF_ERROR(reader->check_payload_fits());
  return reader;
}

absl::Status IdxReader::read_header(IdxKind kind) {
  std::array<uint8_t, kHeaderField> magic;
  LOCKSTEP_RETURN_IF_ERROR(read_exactly(magic.size(), magic.data(), "IDX magic number"));
  const int dimensions = magic[3];
  if (magic[0] != 0 || magic[1] != 0 || magic[2] != kTypeUint8 || !dimensions_fit(kind, dimensions)) {
    return absl::DataLossError(fmt::format(
        "{}: offset 0: IDX magic number {:#010x} found, expected {} for uint8 {}", path(), big_endian(magic.data()),
        kind == IdxKind::kImages ? "0x00000803 (2051) or 0x00000804" : "0x00000801 (2049)", kind_name(kind)));
  }
  return read_dimensions(kind, dimensions);
}

absl::Status IdxReader::read_dimensions(IdxKind kind, int dimensions) {
  std::array<uint8_t, 4 * kHeaderField> bytes;
  LOCKSTEP_RETURN_IF_ERROR(
      read_exactly(static_cast<size_t>(dimensions) * kHeaderField, bytes.data(), "IDX dimensions"));
  count_ = big_endian(bytes.data());
  if (count_ == 0) return absl::DataLossError(fmt::format("{}: offset 4: the header promises no items", path()));
  if (kind == IdxKind::kLabels) return absl::OkStatus();
  std::array<int64_t, 3> side{1, 1, 1};
  for (int i = 1; i < dimensions; ++i) {
    side[static_cast<size_t>(i) - 1] = big_endian(bytes.data() + i * kHeaderField);
  }
  for (const int64_t s : side) {
    if (s < 1 || s > kMaxSide) {
      return absl::DataLossError(fmt::format("{}: offset 8: image of {}x{}x{}, expected sides from 1 to {}", path(),
                                             side[0], side[1], side[2], kMaxSide));
    }
  }
  if (side[0] * side[1] * side[2] > kMaxItemBytes) {
    return absl::DataLossError(fmt::format("{}: offset 8: image of {}x{}x{}, expected at most {} bytes", path(),
                                           side[0], side[1], side[2], kMaxItemBytes));
  }
  shape_ = {static_cast<int>(side[0]), static_cast<int>(side[1]), static_cast<int>(side[2])};
  return absl::OkStatus();
}

// An item has at most 2^28 bytes and the count is below 2^32, so the product fits 64 bits.
absl::Status IdxReader::check_payload_fits() const {
  const uint64_t payload = static_cast<uint64_t>(count_) * static_cast<uint64_t>(shape_.size());
  const uint64_t header = stream_->output_offset();
  const uint64_t most = stream_->largest_possible_output();
  const bool plain = stream_->compression() == Compression::kNone;
  if (payload + header > most || (plain && payload + header != most)) {
    return absl::DataLossError(fmt::format(
        "{}: the header promises {} items of {}x{}x{} bytes, but {} bytes of {} data hold {} {} after it", path(),
        count_, shape_.height, shape_.width, shape_.depth, stream_->file_size(),
        compression_name(stream_->compression()), plain ? "exactly" : "at most", most - std::min(most, header)));
  }
  return absl::OkStatus();
}

absl::Status IdxReader::read_exactly(size_t bytes, uint8_t* out, std::string_view what) {
  const uint64_t at = stream_->output_offset();
  LOCKSTEP_ASSIGN_OR_RETURN(const size_t got, stream_->read(out, bytes));
  if (got == bytes) return absl::OkStatus();
  return absl::DataLossError(fmt::format("{}: offset {}{}: {} needs {} bytes, the file ends after {}", path(), at,
                                         stream_->compression() == Compression::kNone ? "" : " of the inflated data",
                                         what, bytes, got));
}

absl::Status IdxReader::read(int64_t items, uint8_t* out) {
  LOCKSTEP_CHECK_LE(items, count_ - items_read_);
  const auto bytes = static_cast<size_t>(items * shape_.size());
  LOCKSTEP_RETURN_IF_ERROR(
      read_exactly(bytes, out, fmt::format("item {} to {} of {}", items_read_, items_read_ + items, count_)));
  items_read_ += items;
  return absl::OkStatus();
}

absl::Status IdxReader::finish() {
  LOCKSTEP_CHECK_EQ(items_read_, count_);
  uint8_t extra;
  LOCKSTEP_ASSIGN_OR_RETURN(const size_t got, stream_->read(&extra, 1));
  if (got == 0) return absl::OkStatus();
  return absl::DataLossError(fmt::format("{}: data goes on after the {} items that the header promises (at offset {})",
                                         path(), count_, stream_->output_offset() - 1));
}

absl::StatusOr<std::unique_ptr<IdxPairReader>> IdxPairReader::open(const std::string& images_path,
                                                                   const std::string& labels_path, int label_limit) {
  std::unique_ptr<IdxPairReader> pair(new IdxPairReader);
  LOCKSTEP_ASSIGN_OR_RETURN(pair->images_, IdxReader::open(images_path, IdxKind::kImages));
  LOCKSTEP_ASSIGN_OR_RETURN(pair->labels_, IdxReader::open(labels_path, IdxKind::kLabels));
  pair->label_limit_ = label_limit;
  if (pair->images_->count() != pair->labels_->count()) {
    return absl::DataLossError(fmt::format("{} holds {} images, but {} holds {} labels: expected as many", images_path,
                                           pair->images_->count(), labels_path, pair->labels_->count()));
  }
  return pair;
}

absl::Status IdxPairReader::read(int64_t items, uint8_t* images, uint8_t* labels) {
  LOCKSTEP_RETURN_IF_ERROR(images_->read(items, images));
  LOCKSTEP_RETURN_IF_ERROR(labels_->read(items, labels));
  for (int64_t i = 0; label_limit_ > 0 && i < items; ++i) {
    if (labels[i] >= label_limit_) {
      return absl::DataLossError(fmt::format("{}: label {} of item {} is out of range: expected 0 to {}",
                                             labels_->path(), labels[i], items_read_ + i, label_limit_ - 1));
    }
  }
  items_read_ += items;
  return absl::OkStatus();
}

absl::Status IdxPairReader::finish() {
  LOCKSTEP_RETURN_IF_ERROR(images_->finish());
  return labels_->finish();
}

absl::StatusOr<std::string> find_idx_file(const std::string& directory, std::string_view stem) {
  const std::string plain = join_path(directory, stem);
  const std::string compressed = plain + ".gz";
  if (file_exists(plain)) return plain;
  if (file_exists(compressed)) return compressed;
  return absl::NotFoundError(fmt::format("neither {} nor {} exists", compressed, plain));
}

}  // namespace lockstep
