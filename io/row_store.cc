// SPDX-License-Identifier: Apache-2.0
#include "io/row_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

namespace lockstep {
namespace {

std::string temporary_directory() {
  const char* directory = std::getenv("TMPDIR");
  return directory != nullptr && *directory != '\0' ? directory : "/tmp";
}

}  // namespace

absl::StatusOr<std::unique_ptr<RowStore>> RowStore::create(int64_t row_bytes) {
  std::string path = join_path(temporary_directory(), "lockstep_rows_XXXXXX");
  // mkstemp makes a name that nobody else owns; the two files below then open our own.
  const int fd = ::mkstemp(path.data());
  if (fd < 0) {
    return absl::ErrnoToStatus(errno, fmt::format("{}: cannot create a temporary file (set TMPDIR?)", path));
  }
  ::close(fd);
  std::unique_ptr<RowStore> store(new RowStore(row_bytes));
  auto writer = WritableFile::create(path);
  auto reader = RandomAccessFile::open(path);
  ::unlink(path.c_str());
  if (!writer.ok()) return writer.status();
  if (!reader.ok()) return reader.status();
  store->writer_ = *std::move(writer);
  store->reader_ = *std::move(reader);
  return store;
}

absl::Status RowStore::append(std::string_view rows) {
  return annotate(writer_->append(rows), "decoded examples do not fit; TMPDIR names the directory used");
}

absl::Status RowStore::seal() {
  return annotate(writer_->close(), "decoded examples do not fit; TMPDIR names the directory used");
}

absl::Status RowStore::read(int64_t index, void* out) const {
  const auto offset = static_cast<uint64_t>(index * row_bytes_);
  LOCKSTEP_ASSIGN_OR_RETURN(const size_t got, reader_->read_at(offset, static_cast<size_t>(row_bytes_), out));
  if (got == static_cast<size_t>(row_bytes_)) return absl::OkStatus();
  return absl::DataLossError(fmt::format("{}: {} of {} bytes at offset {}", reader_->path(), got, row_bytes_, offset));
}

}  // namespace lockstep
