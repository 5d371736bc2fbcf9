// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "io/idx_reader.h"
#include "serve/inspect/inspectors.h"

namespace lockstep {
namespace {

constexpr int64_t kPieceBytes = 1 << 20;

using ByteCounts = std::array<int64_t, 256>;

// Reads all items and the end of the file.
absl::Status count_bytes(IdxReader& reader, ByteCounts& counts) {
  const int64_t item_bytes = reader.shape().size();
  std::vector<uint8_t> piece;
  for (int64_t at = 0; at < reader.count();) {
    const int64_t items = std::min(std::max<int64_t>(1, kPieceBytes / item_bytes), reader.count() - at);
    piece.resize(static_cast<size_t>(items * item_bytes));
    LOCKSTEP_RETURN_IF_ERROR(reader.read(items, piece.data()));
    for (const uint8_t byte : piece) ++counts[byte];
    at += items;
  }
  return reader.finish();
}

void describe_labels(const IdxReader& reader, const ByteCounts& counts, InspectReport& report) {
  InspectTable table{"labels", {"label", "count"}, {}};
  for (size_t label = 0; label < counts.size(); ++label) {
    if (counts[label] > 0) table.rows.push_back({label, counts[label]});
  }
  report.summary = fmt::format("{} labels", reader.count());
  report.add_fact("labels", reader.count());
  report.tables.push_back(std::move(table));
}

void describe_images(const IdxReader& reader, const ByteCounts& counts, InspectReport& report) {
  const ImageShape shape = reader.shape();
  const std::string size = fmt::format("{}x{}x{}", shape.height, shape.width, shape.depth);
  int64_t pixels = 0, sum = 0;
  size_t lowest = 255, highest = 0;
  for (size_t value = 0; value < counts.size(); ++value) {
    if (counts[value] == 0) continue;
    lowest = std::min(lowest, value);
    highest = std::max(highest, value);
    pixels += counts[value];
    sum += counts[value] * static_cast<int64_t>(value);
  }
  report.summary = fmt::format("{} images of {}", reader.count(), size);
  report.add_fact("images", reader.count());
  report.add_fact("image", size);
  if (pixels == 0) return;
  report.add_fact("lowest pixel", lowest);
  report.add_fact("highest pixel", highest);
  report.add_fact("mean pixel", static_cast<double>(sum) / static_cast<double>(pixels));
}

// The fourth byte is the number of dimensions; labels have one.
IdxKind kind_of(GzipReader& stream) {
  char magic[4] = {};
  const auto got = stream.read(magic, sizeof(magic));
  return got.ok() && magic[3] == 1 ? IdxKind::kLabels : IdxKind::kImages;
}

absl::Status read_idx(InspectReport& report) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto stream, GzipReader::open(report.path));
  const bool compressed = stream->compression() != Compression::kNone;
  if (compressed) {
    report.kind += fmt::format(", {}", compression_name(stream->compression()));
    report.checksums_over = "the CRC-32 of the compressed data";
  }
  const IdxKind kind = kind_of(*stream);
  LOCKSTEP_ASSIGN_OR_RETURN(const auto reader, IdxReader::open(report.path, kind));
  ByteCounts counts{};
  LOCKSTEP_RETURN_IF_ERROR(count_bytes(*reader, counts));
  if (compressed) report.checksums = 1;
  kind == IdxKind::kLabels ? describe_labels(*reader, counts, report) : describe_images(*reader, counts, report);
  return absl::OkStatus();
}

}  // namespace

void inspect_idx(InspectReport& report) {
  report.kind = "IDX";
  const absl::Status status = read_idx(report);
  if (status.ok()) return;
  report.summary = "unreadable";
  report.damage.emplace_back(status.message());
}

}  // namespace lockstep
