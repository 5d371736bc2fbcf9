// SPDX-License-Identifier: Apache-2.0
// Files that matter: whole or not at all. Errors name the path, the operation and the reason.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

// Sequential or positioned reading. Thread-safe for read_at.
class RandomAccessFile {
 public:
  virtual ~RandomAccessFile() = default;
  // Reads up to `bytes` at `offset` into `out`; returns the number read, less only at the end of the file.
  virtual absl::StatusOr<size_t> read_at(uint64_t offset, size_t bytes, void* out) const = 0;
  virtual uint64_t size() const = 0;
  virtual const std::string& path() const = 0;

  static absl::StatusOr<std::unique_ptr<RandomAccessFile>> open(const std::string& path);
};

// Append-only writing. Not thread-safe.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual absl::Status append(std::string_view data) = 0;
  // Hands everything to the operating system; a reader sees it.
  virtual absl::Status flush() = 0;
  // Flush and fsync: survives a power cut.
  virtual absl::Status sync() = 0;
  // Last call; reports write errors that appear late.
  virtual absl::Status close() = 0;

  // Creates or truncates; `append_mode` keeps what is there.
  static absl::StatusOr<std::unique_ptr<WritableFile>> create(const std::string& path, bool append_mode = false);
};

// Writes to `<path>.tmp.<pid>`; commit() fsyncs, renames over `path` and fsyncs the directory. Destroyed without
// commit(), it removes the temporary file: a reader never sees half a file. Not thread-safe.
class AtomicFile {
 public:
  static absl::StatusOr<AtomicFile> create(const std::string& path);
  AtomicFile(AtomicFile&&) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  absl::Status append(std::string_view data);
  absl::Status commit();

 private:
  AtomicFile() = default;
  std::string path_, temporary_;
  std::unique_ptr<WritableFile> file_;
};

absl::Status write_file_atomic(const std::string& path, std::string_view contents);
// Whole file; an error when it is larger than `limit_bytes`.
absl::StatusOr<std::string> read_file(const std::string& path, uint64_t limit_bytes = uint64_t{1} << 31);
bool file_exists(const std::string& path);
bool is_directory(const std::string& path);
absl::Status make_directories(const std::string& path);
absl::Status remove_file(const std::string& path);                                 // OK when it does not exist
absl::StatusOr<std::vector<std::string>> list_directory(const std::string& path);  // names, sorted
absl::Status sync_directory(const std::string& path);
std::string join_path(std::string_view directory, std::string_view name);
std::string base_name(std::string_view path);
std::string directory_name(std::string_view path);

}  // namespace lockstep
