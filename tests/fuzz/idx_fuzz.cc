// SPDX-License-Identifier: Apache-2.0
// IDX files, compressed or not. The first byte chooses: images or labels, and whether the rest is the file or what is
// inside a sound gzip file.
#include <zlib.h>

#include <algorithm>
#include <vector>

#include "core/base/check.h"
#include "io/idx_reader.h"
#include "tests/fuzz/fuzz_input.h"

namespace lockstep {
namespace {

std::string gzip(std::string_view content) {
  z_stream stream{};
  constexpr int kGzip = 15 + 16;
  LOCKSTEP_CHECK_EQ(deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, content.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  LOCKSTEP_CHECK_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

absl::Status read_all(const std::string& path, IdxKind kind) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto reader, IdxReader::open(path, kind));
  LOCKSTEP_CHECK_GE(reader->count(), 0);
  // A few items at a time, as many as make a megabyte at most: a header may promise a thousand times the file.
  const int64_t item = reader->shape().size();
  LOCKSTEP_CHECK_GT(item, 0);
  const int64_t chunk = std::max<int64_t>(1, (1 << 20) / item);
  std::vector<uint8_t> items(static_cast<size_t>(chunk * item));
  for (int64_t at = 0; at < reader->count(); at += chunk) {
    LOCKSTEP_RETURN_IF_ERROR(reader->read(std::min(chunk, reader->count() - at), items.data()));
  }
  return reader->finish();
}

absl::Status read_stream(const std::string& path) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto reader, GzipReader::open(path));
  char buffer[3000];
  while (true) {
    LOCKSTEP_ASSIGN_OR_RETURN(const size_t got, reader->read(buffer, sizeof(buffer)));
    if (got < sizeof(buffer)) return absl::OkStatus();
  }
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const uint8_t mode = lockstep::take_byte(rest);
  const lockstep::IdxKind kind = (mode & 1) ? lockstep::IdxKind::kLabels : lockstep::IdxKind::kImages;
  const lockstep::MemoryFile file((mode & 2) ? lockstep::gzip(rest) : std::string(rest));
  lockstep::read_all(file.path(), kind).IgnoreError();
  if ((mode & 2) == 0) lockstep::read_stream(file.path()).IgnoreError();
  return 0;
}
