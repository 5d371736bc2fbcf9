// SPDX-License-Identifier: Apache-2.0
// TFRecord files: framed payloads with a masked CRC-32C over length and data (docs/formats/tfrecord.md).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"
#include "core/base/status.h"
#include "io/gzip_reader.h"

namespace lockstep {

// Bytes of a record around its payload: uint64 length, CRC of the length | payload | CRC of the payload.
inline constexpr size_t kRecordHeaderBytes = 12;
inline constexpr size_t kRecordTrailerBytes = 4;
inline constexpr size_t kRecordOverheadBytes = kRecordHeaderBytes + kRecordTrailerBytes;

// Largest payload that is written, and by default read.
inline constexpr uint64_t kMaxRecordBytes = uint64_t{1} << 30;

// Appends the framed payload to `out`.
void append_record(std::string_view payload, std::string& out);

// Writes a whole record file or none: nothing appears under `path` before commit(). Not thread-safe.
class TfRecordWriter {
 public:
  // gzip and zlib wrap the whole file, as TensorFlow's TFRecordOptions do.
  static absl::StatusOr<TfRecordWriter> create(const std::string& path, Compression compression = Compression::kNone);
  TfRecordWriter(TfRecordWriter&&) noexcept;
  ~TfRecordWriter();

  absl::Status append(std::string_view payload);
  // Appends records that append_record() framed already.
  absl::Status append_framed(std::string_view records);
  absl::Status commit();

 private:
  struct Deflater;
  explicit TfRecordWriter(AtomicFile file);
  absl::Status deflate_pending(int flush);

  AtomicFile file_;
  std::string pending_;                 // framed bytes not yet handed on
  std::unique_ptr<Deflater> deflater_;  // null when plain
};

struct TfRecordReaderOptions {
  // A longer record is refused.
  uint64_t max_record_bytes = kMaxRecordBytes;
};

// Streams the records of a file (plain, gzip or zlib, told apart by the first bytes) with bounded memory; both CRCs of
// every record are checked. Errors name file, record number and offset in the (inflated) data, and are final. Not
// thread-safe.
class TfRecordReader {
 public:
  static absl::StatusOr<std::unique_ptr<TfRecordReader>> open(const std::string& path,
                                                              const TfRecordReaderOptions& options = {});

  // True: `payload` is the next record, valid until the next call. False: the file ended after a whole record (an empty
  // file holds no record).
  absl::StatusOr<bool> next(std::string_view* payload);

  // Of the record that next() returned last: number from 0, and where it starts in the (inflated) data.
  int64_t record_number() const { return records_ - 1; }
  uint64_t record_offset() const { return record_offset_; }
  Compression compression() const { return stream_->compression(); }
  const std::string& path() const { return stream_->path(); }

 private:
  TfRecordReader(std::unique_ptr<GzipReader> stream, const TfRecordReaderOptions& options);
  absl::StatusOr<bool> read_record(std::string_view* payload);
  absl::StatusOr<bool> ensure(size_t bytes);
  absl::Status check_length(uint64_t length) const;
  absl::Status record_error(std::string_view reason) const;

  const std::unique_ptr<GzipReader> stream_;
  const TfRecordReaderOptions options_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;  // the unread part of buffer_
  uint64_t buffer_offset_ = 0;  // of buffer_[0] in the inflated data
  uint64_t record_offset_ = 0;
  int64_t records_ = 0;
  absl::Status error_;
};

// Reads one record of a plain file by its offset and payload length, checking length and CRCs. `scratch` is the memory
// that the result points into. Thread-safe for distinct scratch.
absl::StatusOr<std::string_view> read_record_at(const RandomAccessFile& file, uint64_t offset, uint64_t payload_bytes,
                                                std::string& scratch);

// How a record file is compressed. A plain file is known by the CRC of its first length, so that a record whose length
// looks like a zlib header is still plain.
absl::StatusOr<Compression> detect_record_compression(const std::string& path);

}  // namespace lockstep
