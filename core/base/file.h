// SPDX-License-Identifier: Apache-2.0
// Files that matter: whole or not at all. Errors name the path, the operation and the reason.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
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
  // AlreadyExists when there is a file of this name, whoever made it.
  static absl::StatusOr<std::unique_ptr<WritableFile>> create_new(const std::string& path);
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

// Keeps other processes on this host (and, where the file system passes locks on, on others) out of a directory, by an
// advisory lock that dies with the process. Move-only.
class DirectoryLock {
 public:
  // FailedPrecondition when another process (or another lock of this one) holds it. The directory must exist; the lock
  // follows it when it is renamed. On a file system without locks the result holds nothing.
  static absl::StatusOr<DirectoryLock> acquire(const std::string& directory);
  bool holds() const { return fd_ >= 0; }
  DirectoryLock() = default;
  DirectoryLock(DirectoryLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  DirectoryLock& operator=(DirectoryLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~DirectoryLock();

 private:
  int fd_ = -1;
};

absl::Status write_file_atomic(const std::string& path, std::string_view contents);
// Whole file, or all that comes through a pipe of this name; an error when it is larger than `limit_bytes`.
absl::StatusOr<std::string> read_file(const std::string& path, uint64_t limit_bytes = uint64_t{1} << 31);
// All that comes through a descriptor, which stays open, to its end; `name` is for messages. Likewise.
absl::StatusOr<std::string> read_descriptor(int descriptor, const std::string& name, uint64_t limit_bytes);
bool file_exists(const std::string& path);
bool is_directory(const std::string& path);
// Whether something is there that cannot be read twice, or from the middle: a pipe, a terminal, a socket.
bool is_stream(const std::string& path);
absl::Status make_directories(const std::string& path);
absl::Status make_new_directory(const std::string& path);  // AlreadyExists when something of this name is there
// Renames a file or directory within one file system and fsyncs the directory that receives it.
absl::Status rename_path(const std::string& from, const std::string& to);
absl::Status remove_file(const std::string& path);                                 // OK when it does not exist
absl::Status remove_tree(const std::string& path);                                 // with everything in it; likewise
absl::StatusOr<std::vector<std::string>> list_directory(const std::string& path);  // names, sorted
absl::Status sync_directory(const std::string& path);
std::string join_path(std::string_view directory, std::string_view name);
std::string base_name(std::string_view path);
std::string directory_name(std::string_view path);

// Grows while this process reads, writes or otherwise uses files through this interface, at least once a MiB: tells a
// slow operation from one that hangs. Thread-safe.
uint64_t file_activity();

// The seam through which tests break files. Operations of every function above, in the order they reach the system.
enum class FileOp { kOpen, kCreate, kWrite, kSync, kClose, kRename, kRemove, kSyncDirectory };
std::string_view file_op_name(FileOp op);

class FileHooks {
 public:
  virtual ~FileHooks() = default;
  // Called before an operation on `path` (kRename: the new name). An error replaces the operation, except that a failed
  // kWrite first writes `*bytes` bytes (the hook may lower it), and a failed kClose still frees the descriptor.
  virtual absl::Status before(FileOp op, const std::string& path, size_t* bytes) = 0;
  // Called with every file opened for reading; may return a wrapper.
  virtual std::unique_ptr<RandomAccessFile> opened(std::unique_ptr<RandomAccessFile> file) { return file; }
};

// Tests only. Borrowed; null (the default) removes it. Hooks are called from every thread that uses files.
void set_file_hooks(FileHooks* hooks);

}  // namespace lockstep
