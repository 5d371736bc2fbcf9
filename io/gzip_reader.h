// SPDX-License-Identifier: Apache-2.0
// A file read as a stream of bytes: gzip, zlib or plain, told apart by its first bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/file.h"
#include "core/base/status.h"

namespace lockstep {

enum class Compression { kNone, kGzip, kZlib };
std::string_view compression_name(Compression compression);

// What the first bytes of a file say: 1f 8b is gzip; a valid deflate CMF/FLG pair is zlib; all else is plain.
Compression detect_compression(std::string_view first_bytes);

struct GzipReaderOptions {
  // A stream that inflates to more is refused: a few kilobytes can claim terabytes.
  uint64_t max_output_bytes = uint64_t{1} << 40;
  // Takes the file as this instead of looking at its first bytes.
  bool detect = true;
  Compression compression = Compression::kNone;
};

// Sequential reader with bounded memory. A damaged header or stream, a wrong CRC or length in the trailer, an early end
// and bytes after the end are errors that name the file and the offset. Members of a gzip file that follow each other
// are read as one stream (RFC 1952). After an error every call returns it again. Not thread-safe.
class GzipReader {
 public:
  static absl::StatusOr<std::unique_ptr<GzipReader>> open(const std::string& path,
                                                          const GzipReaderOptions& options = {});
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  // Reads up to `bytes` into `out`. Fewer only at the end, and then the trailer has been checked.
  absl::StatusOr<size_t> read(void* out, size_t bytes);

  // Bytes handed out so far; bytes of the file used for them.
  uint64_t output_offset() const { return output_offset_; }
  uint64_t file_offset() const;
  uint64_t file_size() const { return file_->size(); }
  const std::string& path() const { return file_->path(); }
  Compression compression() const { return compression_; }
  // The most bytes this file can hold once inflated: deflate shrinks to 1/1032 at best.
  uint64_t largest_possible_output() const;

 private:
  struct Inflater;
  GzipReader(std::unique_ptr<RandomAccessFile> file, Compression compression, uint64_t max_output_bytes);
  absl::StatusOr<size_t> read_plain(void* out, size_t bytes);
  absl::StatusOr<size_t> read_deflated(void* out, size_t bytes);
  absl::Status fill_input();
  absl::Status end_of_member();
  absl::Status stream_error(int zlib_code) const;
  absl::Status truncated() const;

  const std::unique_ptr<RandomAccessFile> file_;
  const Compression compression_;
  const uint64_t max_output_bytes_;
  std::unique_ptr<Inflater> inflater_;  // null when plain
  uint64_t next_input_ = 0;             // offset in the file of the next byte to fetch
  uint64_t output_offset_ = 0;
  bool ended_ = false;
  absl::Status error_;
};

}  // namespace lockstep
