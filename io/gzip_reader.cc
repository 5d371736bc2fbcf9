// SPDX-License-Identifier: Apache-2.0
#include "io/gzip_reader.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace lockstep {
namespace {

constexpr size_t kInputBytes = 256 << 10;
constexpr size_t kMagicBytes = 2;

// windowBits of inflateInit2: 15 is the largest window, + 16 selects the gzip wrapper.
int window_bits(Compression compression) { return compression == Compression::kGzip ? 15 + 16 : 15; }

}  // namespace

std::string_view compression_name(Compression compression) {
  switch (compression) {
    case Compression::kNone:
      return "plain";
    case Compression::kGzip:
      return "gzip";
    case Compression::kZlib:
      return "zlib";
  }
  return "unknown";
}

Compression detect_compression(std::string_view first_bytes) {
  if (first_bytes.size() < kMagicBytes) return Compression::kNone;
  const unsigned a = static_cast<unsigned char>(first_bytes[0]);
  const unsigned b = static_cast<unsigned char>(first_bytes[1]);
  if (a == 0x1f && b == 0x8b) return Compression::kGzip;
  // RFC 1950: method 8, window at most 32 KiB, check bits make a multiple of 31, no preset dictionary.
  const bool zlib = (a & 0x0f) == 8 && (a >> 4) <= 7 && (a * 256 + b) % 31 == 0 && (b & 0x20) == 0;
  return zlib ? Compression::kZlib : Compression::kNone;
}

struct GzipReader::Inflater {
  z_stream stream{};
  std::vector<unsigned char> input = std::vector<unsigned char>(kInputBytes);
  bool member_open = true;

  ~Inflater() { inflateEnd(&stream); }
};

absl::StatusOr<std::unique_ptr<GzipReader>> GzipReader::open(const std::string& path,
                                                             const GzipReaderOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file, RandomAccessFile::open(path));
  Compression compression = options.compression;
  if (options.detect) {
    char magic[kMagicBytes];
    LOCKSTEP_ASSIGN_OR_RETURN(const size_t got, file->read_at(0, sizeof(magic), magic));
    compression = detect_compression({magic, got});
  }
  std::unique_ptr<GzipReader> reader(new GzipReader(std::move(file), compression, options.max_output_bytes));
  if (compression == Compression::kNone) return reader;
  reader->inflater_ = std::make_unique<Inflater>();
  if (inflateInit2(&reader->inflater_->stream, window_bits(compression)) != Z_OK) {
    return absl::ResourceExhaustedError(fmt::format("{}: no memory for the inflate window", path));
  }
  return reader;
}

GzipReader::GzipReader(std::unique_ptr<RandomAccessFile> file, Compression compression, uint64_t max_output_bytes)
    : file_(std::move(file)), compression_(compression), max_output_bytes_(max_output_bytes) {}

GzipReader::~GzipReader() = default;

uint64_t GzipReader::file_offset() const {
  return inflater_ == nullptr ? next_input_ : next_input_ - inflater_->stream.avail_in;
}

uint64_t GzipReader::largest_possible_output() const {
  constexpr uint64_t kBestRatio = 1032;
  const uint64_t size = file_->size();
  if (compression_ == Compression::kNone) return size;
  return size > max_output_bytes_ / kBestRatio ? max_output_bytes_ : size * kBestRatio;
}

absl::StatusOr<size_t> GzipReader::read(void* out, size_t bytes) {
  if (!error_.ok()) return error_;
  absl::StatusOr<size_t> got = inflater_ == nullptr ? read_plain(out, bytes) : read_deflated(out, bytes);
  if (!got.ok()) {
    error_ = got.status();
    return got;
  }
  output_offset_ += *got;
  if (output_offset_ > max_output_bytes_) {
    error_ = absl::ResourceExhaustedError(fmt::format("{}: inflates to more than the limit of {} bytes (at offset {})",
                                                      path(), max_output_bytes_, file_offset()));
    return error_;
  }
  return got;
}

absl::StatusOr<size_t> GzipReader::read_plain(void* out, size_t bytes) {
  LOCKSTEP_ASSIGN_OR_RETURN(const size_t got, file_->read_at(next_input_, bytes, out));
  next_input_ += got;
  return got;
}

absl::StatusOr<size_t> GzipReader::read_deflated(void* out, size_t bytes) {
  z_stream& z = inflater_->stream;
  auto* const begin = static_cast<unsigned char*>(out);
  size_t done = 0;
  // At the end of the data one more turn checks the trailer and that nothing follows it, so `done < bytes` on return
  // means that the whole file was good.
  while (!ended_ && done < bytes) {
    if (z.avail_in == 0) LOCKSTEP_RETURN_IF_ERROR(fill_input());
    if (!inflater_->member_open) {
      LOCKSTEP_RETURN_IF_ERROR(end_of_member());
      continue;
    }
    if (z.avail_in == 0) return truncated();
    const size_t room = std::min<size_t>(bytes - done, std::numeric_limits<uInt>::max());
    z.next_out = begin + done;
    z.avail_out = static_cast<uInt>(room);
    const int code = inflate(&z, Z_NO_FLUSH);
    done += room - z.avail_out;
    if (code == Z_STREAM_END) {
      inflater_->member_open = false;
    } else if (code != Z_OK && code != Z_BUF_ERROR) {
      return stream_error(code);
    }
  }
  return done;
}

absl::Status GzipReader::fill_input() {
  z_stream& z = inflater_->stream;
  LOCKSTEP_ASSIGN_OR_RETURN(const size_t got, file_->read_at(next_input_, kInputBytes, inflater_->input.data()));
  next_input_ += got;
  z.next_in = inflater_->input.data();
  z.avail_in = static_cast<uInt>(got);
  return absl::OkStatus();
}

// A member (with its trailer) is complete: the file ends here, or another gzip member follows.
absl::Status GzipReader::end_of_member() {
  z_stream& z = inflater_->stream;
  if (z.avail_in == 0) {
    ended_ = true;
    return absl::OkStatus();
  }
  const bool another = compression_ == Compression::kGzip && *z.next_in == 0x1f;
  if (!another) {
    return absl::DataLossError(
        fmt::format("{}: {} bytes after the end of the {} stream at offset {}: expected the end of the file", path(),
                    file_size() - file_offset(), compression_name(compression_), file_offset()));
  }
  inflateReset(&z);
  inflater_->member_open = true;
  return absl::OkStatus();
}

absl::Status GzipReader::stream_error(int zlib_code) const {
  const char* reason = inflater_->stream.msg;
  if (reason == nullptr) reason = zlib_code == Z_NEED_DICT ? "needs a preset dictionary" : zError(zlib_code);
  return absl::DataLossError(fmt::format("{}: damaged {} stream at offset {} (after {} good bytes): {}", path(),
                                         compression_name(compression_), file_offset(), output_offset_, reason));
}

absl::Status GzipReader::truncated() const {
  return absl::DataLossError(fmt::format("{}: {} stream cut off at offset {}: the file ends before the stream does",
                                         path(), compression_name(compression_), file_size()));
}

}  // namespace lockstep
