// SPDX-License-Identifier: Apache-2.0
#include "io/tfrecord.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/base/check.h"
#include "io/crc32c.h"

namespace lockstep {
namespace {

static_assert(std::endian::native == std::endian::little, "record fields are copied as they lie in memory");

constexpr size_t kReadBytes = 1 << 20;
constexpr size_t kLengthBytes = sizeof(uint64_t);

template <typename T>
T load(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

template <typename T>
void append_value(T value, std::string& out) {
  char bytes[sizeof(value)];
  std::memcpy(bytes, &value, sizeof(value));
  out.append(bytes, sizeof(value));
}

bool length_crc_matches(const char* header) {
  return masked_crc32c({header, kLengthBytes}) == load<uint32_t>(header + kLengthBytes);
}

std::string crc_mismatch(std::string_view what, uint32_t found, uint32_t expected) {
  return fmt::format("CRC of the {} is {:#010x} in the file, but {:#010x} by the bytes: the file is damaged", what,
                     found, expected);
}

}  // namespace

void append_record(std::string_view payload, std::string& out) {
  const uint64_t length = payload.size();
  append_value(length, out);
  append_value(masked_crc32c({out.data() + out.size() - kLengthBytes, kLengthBytes}), out);
  out.append(payload);
  append_value(masked_crc32c(payload), out);
}

struct TfRecordWriter::Deflater {
  z_stream stream{};
  std::vector<unsigned char> output = std::vector<unsigned char>(256 << 10);
  ~Deflater() { deflateEnd(&stream); }
};

absl::StatusOr<TfRecordWriter> TfRecordWriter::create(const std::string& path, Compression compression) {
  LOCKSTEP_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(path));
  TfRecordWriter writer(std::move(file));
  if (compression == Compression::kNone) return writer;
  writer.deflater_ = std::make_unique<Deflater>();
  const int window_bits = compression == Compression::kGzip ? 15 + 16 : 15;
  constexpr int kMemoryLevel = 8;
  if (deflateInit2(&writer.deflater_->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, window_bits, kMemoryLevel,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    return absl::ResourceExhaustedError(fmt::format("{}: no memory for the deflate window", path));
  }
  return writer;
}

TfRecordWriter::TfRecordWriter(AtomicFile file) : file_(std::move(file)) {}
TfRecordWriter::TfRecordWriter(TfRecordWriter&&) noexcept = default;
TfRecordWriter::~TfRecordWriter() = default;

absl::Status TfRecordWriter::append(std::string_view payload) {
  if (payload.size() > kMaxRecordBytes) {
    return absl::InvalidArgumentError(
        fmt::format("a record of {} bytes exceeds the limit of {} bytes", payload.size(), kMaxRecordBytes));
  }
  append_record(payload, pending_);
  if (pending_.size() < kReadBytes) return absl::OkStatus();
  return deflate_pending(Z_NO_FLUSH);
}

absl::Status TfRecordWriter::append_framed(std::string_view records) {
  if (deflater_ != nullptr) {
    pending_.append(records);
    return deflate_pending(Z_NO_FLUSH);
  }
  LOCKSTEP_RETURN_IF_ERROR(deflate_pending(Z_NO_FLUSH));
  return file_.append(records);
}

absl::Status TfRecordWriter::commit() {
  LOCKSTEP_RETURN_IF_ERROR(deflate_pending(Z_FINISH));
  return file_.commit();
}

absl::Status TfRecordWriter::deflate_pending(int flush) {
  if (deflater_ == nullptr) {
    LOCKSTEP_RETURN_IF_ERROR(file_.append(pending_));
    pending_.clear();
    return absl::OkStatus();
  }
  z_stream& z = deflater_->stream;
  z.next_in = reinterpret_cast<unsigned char*>(pending_.data());
  z.avail_in = static_cast<uInt>(pending_.size());
  do {
    z.next_out = deflater_->output.data();
    z.avail_out = static_cast<uInt>(deflater_->output.size());
    LOCKSTEP_CHECK_NE(deflate(&z, flush), Z_STREAM_ERROR);
    const size_t produced = deflater_->output.size() - z.avail_out;
    LOCKSTEP_RETURN_IF_ERROR(file_.append({reinterpret_cast<char*>(deflater_->output.data()), produced}));
  } while (z.avail_out == 0);  // a full buffer may hide more
  pending_.clear();
  return absl::OkStatus();
}

absl::StatusOr<Compression> detect_record_compression(const std::string& path) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::unique_ptr<RandomAccessFile> file, RandomAccessFile::open(path));
  char first[kRecordHeaderBytes];
  LOCKSTEP_ASSIGN_OR_RETURN(const size_t got, file->read_at(0, sizeof(first), first));
  if (got == sizeof(first) && length_crc_matches(first)) return Compression::kNone;
  const Compression compression = detect_compression({first, got});
  const bool named_compressed = path.ends_with(".gz") || path.ends_with(".zlib");
  if (got == 0 && named_compressed)
    return absl::DataLossError(fmt::format("{}: empty, expected compressed data", path));
  return compression;
}

absl::StatusOr<std::unique_ptr<TfRecordReader>> TfRecordReader::open(const std::string& path,
                                                                     const TfRecordReaderOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const Compression compression, detect_record_compression(path));
  LOCKSTEP_ASSIGN_OR_RETURN(std::unique_ptr<GzipReader> stream,
                            GzipReader::open(path, {.detect = false, .compression = compression}));
  return std::unique_ptr<TfRecordReader>(new TfRecordReader(std::move(stream), options));
}

TfRecordReader::TfRecordReader(std::unique_ptr<GzipReader> stream, const TfRecordReaderOptions& options)
    : stream_(std::move(stream)), options_(options), buffer_(kReadBytes) {}

absl::StatusOr<bool> TfRecordReader::next(std::string_view* payload) {
  if (!error_.ok()) return error_;
  absl::StatusOr<bool> got = read_record(payload);
  if (!got.ok()) error_ = got.status();
  return got;
}

absl::StatusOr<bool> TfRecordReader::read_record(std::string_view* payload) {
  record_offset_ = buffer_offset_ + begin_;
  LOCKSTEP_ASSIGN_OR_RETURN(const bool header, ensure(kRecordHeaderBytes));
  if (!header) {
    if (begin_ == end_) return false;
    return record_error(
        fmt::format("the file ends after {} of the {} bytes of a record header", end_ - begin_, kRecordHeaderBytes));
  }
  const char* at = buffer_.data() + begin_;
  const auto length = load<uint64_t>(at);
  if (!length_crc_matches(at)) {
    return record_error(crc_mismatch("length", load<uint32_t>(at + kLengthBytes), masked_crc32c({at, kLengthBytes})));
  }
  LOCKSTEP_RETURN_IF_ERROR(check_length(length));
  const size_t whole = kRecordOverheadBytes + length;
  LOCKSTEP_ASSIGN_OR_RETURN(const bool complete, ensure(whole));
  if (!complete) {
    return record_error(fmt::format("the file ends after {} of the {} bytes of the record", end_ - begin_, whole));
  }
  at = buffer_.data() + begin_;
  *payload = {at + kRecordHeaderBytes, length};
  const auto stored = load<uint32_t>(at + kRecordHeaderBytes + length);
  if (const uint32_t computed = masked_crc32c(*payload); computed != stored) {
    return record_error(crc_mismatch("data", stored, computed));
  }
  begin_ += whole;
  ++records_;
  return true;
}

// Makes at least `bytes` unread bytes available, growing the buffer no faster than data arrives; false when the file
// ends first.
absl::StatusOr<bool> TfRecordReader::ensure(size_t bytes) {
  if (end_ - begin_ >= bytes) return true;
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  buffer_offset_ += begin_;
  end_ -= begin_;
  begin_ = 0;
  while (end_ < bytes) {
    if (end_ == buffer_.size()) buffer_.resize(std::min(2 * buffer_.size(), bytes + kReadBytes));
    const size_t room = buffer_.size() - end_;
    LOCKSTEP_ASSIGN_OR_RETURN(const size_t got, stream_->read(buffer_.data() + end_, room));
    end_ += got;
    if (got < room) break;
  }
  return end_ >= bytes;
}

absl::Status TfRecordReader::check_length(uint64_t length) const {
  if (length > options_.max_record_bytes) {
    return record_error(fmt::format("length {} exceeds the limit of {} bytes", length, options_.max_record_bytes));
  }
  const uint64_t whole_file = stream_->file_size();
  if (compression() == Compression::kNone && record_offset_ + kRecordOverheadBytes + length > whole_file) {
    return record_error(fmt::format("length {} reaches past the end of the file at {} bytes", length, whole_file));
  }
  return absl::OkStatus();
}

absl::Status TfRecordReader::record_error(std::string_view reason) const {
  return absl::DataLossError(fmt::format("{}: record {} at offset {}{}: {}", path(), records_, record_offset_,
                                         compression() == Compression::kNone ? "" : " of the inflated data", reason));
}

absl::StatusOr<std::string_view> read_record_at(const RandomAccessFile& file, uint64_t offset, uint64_t payload_bytes,
                                                std::string& scratch) {
  const size_t whole = kRecordOverheadBytes + payload_bytes;
  scratch.resize(whole);
  LOCKSTEP_ASSIGN_OR_RETURN(const size_t got, file.read_at(offset, whole, scratch.data()));
  const auto fail = [&](std::string_view reason) {
    return absl::DataLossError(fmt::format("{}: record at offset {}: {}", file.path(), offset, reason));
  };
  if (got != whole)
    return fail(fmt::format("the file ends after {} of {} bytes; it was longer when opened", got, whole));
  const auto length = load<uint64_t>(scratch.data());
  if (!length_crc_matches(scratch.data()) || length != payload_bytes) {
    return fail(
        fmt::format("length {} found, expected {}: the file changed since it was opened", length, payload_bytes));
  }
  const std::string_view payload(scratch.data() + kRecordHeaderBytes, payload_bytes);
  const auto stored = load<uint32_t>(scratch.data() + kRecordHeaderBytes + payload_bytes);
  if (const uint32_t computed = masked_crc32c(payload); computed != stored) {
    return fail(crc_mismatch("data", stored, computed));
  }
  return payload;
}

}  // namespace lockstep
