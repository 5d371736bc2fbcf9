// SPDX-License-Identifier: Apache-2.0
#include "core/base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include <fmt/format.h>

namespace lockstep {
namespace {

std::atomic<FileHooks*> file_hooks{nullptr};
std::atomic<uint64_t> activity{0};
// Data go to and from the system in pieces of at most this, so that a slow disk shows signs of life.
constexpr size_t kPieceBytes = 1 << 20;

void note_activity() { activity.fetch_add(1, std::memory_order_relaxed); }

// OK unless a test wants this operation to fail.
absl::Status before(FileOp op, const std::string& path, size_t* bytes = nullptr) {
  note_activity();
  FileHooks* hooks = file_hooks.load(std::memory_order_acquire);
  if (hooks == nullptr) return absl::OkStatus();
  size_t none = 0;
  return hooks->before(op, path, bytes == nullptr ? &none : bytes);
}

absl::Status os_error(std::string_view operation, std::string_view path) {
  return absl::ErrnoToStatus(errno, fmt::format("{}: cannot {}", path, operation));
}

absl::StatusOr<std::string> read_pipe(const std::string& path, uint64_t limit_bytes) {
  LOCKSTEP_RETURN_IF_ERROR(before(FileOp::kOpen, path));
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return os_error("open for reading", path);
  auto contents = read_descriptor(fd, path, limit_bytes);
  ::close(fd);
  return contents;
}

class PosixRandomAccessFile : public RandomAccessFile {
 public:
  PosixRandomAccessFile(std::string path, int fd, uint64_t size) : path_(std::move(path)), fd_(fd), size_(size) {}
  ~PosixRandomAccessFile() override { ::close(fd_); }

  absl::StatusOr<size_t> read_at(uint64_t offset, size_t bytes, void* out) const override {
    size_t done = 0;
    while (done < bytes) {
      const size_t piece = std::min(bytes - done, kPieceBytes);
      const ssize_t n = ::pread(fd_, static_cast<char*>(out) + done, piece, static_cast<off_t>(offset + done));
      note_activity();
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return os_error(fmt::format("read at offset {}", offset + done), path_);
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }
  uint64_t size() const override { return size_; }
  const std::string& path() const override { return path_; }

 private:
  const std::string path_;
  const int fd_;
  const uint64_t size_;
};

class PosixWritableFile : public WritableFile {
 public:
  PosixWritableFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  ~PosixWritableFile() override {
    if (fd_ >= 0) ::close(fd_);
  }

  absl::Status append(std::string_view data) override {
    if (buffer_.size() + data.size() < kBufferBytes) {
      buffer_.append(data);
      return absl::OkStatus();
    }
    if (absl::Status s = flush(); !s.ok()) return s;
    if (data.size() < kBufferBytes) {
      buffer_.append(data);
      return absl::OkStatus();
    }
    return write_all(data);
  }

  absl::Status flush() override {
    absl::Status status = write_all(buffer_);
    buffer_.clear();
    return status;
  }

  absl::Status sync() override {
    if (absl::Status s = flush(); !s.ok()) return s;
    LOCKSTEP_RETURN_IF_ERROR(before(FileOp::kSync, path_));
    LOCKSTEP_RETURN_IF_ERROR(write_back());
    return ::fsync(fd_) == 0 ? absl::OkStatus() : os_error("fsync", path_);
  }

  absl::Status close() override {
    if (absl::Status s = flush(); !s.ok()) return s;
    LOCKSTEP_RETURN_IF_ERROR(before(FileOp::kClose, path_));
    const int fd = std::exchange(fd_, -1);
    return ::close(fd) == 0 ? absl::OkStatus() : os_error("close", path_);
  }

 private:
  static constexpr size_t kBufferBytes = 256 << 10;
  static constexpr off_t kSyncBytes = 4 << 20;

  // Starts the disk on what has been written, without waiting: sync() then waits for the rest only, not for all that
  // was written. A hint: an error of the disk is told by sync(), since this does not wait for any.
  void start_write_back(size_t written) {
    not_started_ += static_cast<off_t>(written);
    if (not_started_ < kSyncBytes) return;
    not_started_ = 0;
    constexpr off_t kWholeFile = 0;
    (void)::sync_file_range(fd_, 0, kWholeFile, SYNC_FILE_RANGE_WRITE);
    note_activity();
  }

  // Hands the data to the disk piece by piece: one fsync of a large file gives no sign of life until its end. An error
  // that is told here would not be told again by fsync.
  absl::Status write_back() const {
    constexpr unsigned kFlags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    struct stat info {};
    if (::fstat(fd_, &info) != 0) return os_error("fstat", path_);
    for (off_t at = 0; at < info.st_size; at += kSyncBytes) {
      const int result = ::sync_file_range(fd_, at, kSyncBytes, kFlags);
      note_activity();
      if (result == 0 || errno == EINTR) continue;
      const bool unsupported = errno == EINVAL || errno == ESPIPE || errno == ENOSYS || errno == EOPNOTSUPP;
      return unsupported ? absl::OkStatus() : os_error("fsync", path_);
    }
    return absl::OkStatus();
  }

  absl::Status write_all(std::string_view data) {
    if (data.empty()) return absl::OkStatus();
    size_t allowed = data.size();
    const absl::Status fault = before(FileOp::kWrite, path_, &allowed);
    if (!fault.ok()) data = data.substr(0, allowed);
    LOCKSTEP_RETURN_IF_ERROR(write_bytes(data));
    return fault;
  }

  absl::Status write_bytes(std::string_view data) {
    while (!data.empty()) {
      const ssize_t n = ::write(fd_, data.data(), std::min(data.size(), kPieceBytes));
      note_activity();
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return os_error("write", path_);
      data.remove_prefix(static_cast<size_t>(n));
      start_write_back(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

  const std::string path_;
  int fd_;
  std::string buffer_;
  off_t not_started_ = 0;  // bytes written since the disk was last told to begin
};

absl::StatusOr<std::unique_ptr<WritableFile>> open_for_writing(const std::string& path, int flags) {
  LOCKSTEP_RETURN_IF_ERROR(before(FileOp::kCreate, path));
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
  if (fd < 0) return os_error("open for writing", path);
  return std::make_unique<PosixWritableFile>(path, fd);
}

}  // namespace

std::string_view file_op_name(FileOp op) {
  switch (op) {
    case FileOp::kOpen:
      return "open";
    case FileOp::kCreate:
      return "create";
    case FileOp::kWrite:
      return "write";
    case FileOp::kSync:
      return "sync";
    case FileOp::kClose:
      return "close";
    case FileOp::kRename:
      return "rename";
    case FileOp::kRemove:
      return "remove";
    case FileOp::kSyncDirectory:
      return "sync_directory";
  }
  return "?";
}

uint64_t file_activity() { return activity.load(std::memory_order_relaxed); }

void set_file_hooks(FileHooks* hooks) { file_hooks.store(hooks, std::memory_order_release); }

absl::StatusOr<std::unique_ptr<RandomAccessFile>> RandomAccessFile::open(const std::string& path) {
  LOCKSTEP_RETURN_IF_ERROR(before(FileOp::kOpen, path));
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return os_error("open for reading", path);
  struct stat info {};
  if (::fstat(fd, &info) != 0 || S_ISDIR(info.st_mode)) {
    if (S_ISDIR(info.st_mode)) errno = EISDIR;
    absl::Status status = os_error("open for reading", path);
    ::close(fd);
    return status;
  }
  std::unique_ptr<RandomAccessFile> file =
      std::make_unique<PosixRandomAccessFile>(path, fd, static_cast<uint64_t>(info.st_size));
  FileHooks* hooks = file_hooks.load(std::memory_order_acquire);
  return hooks == nullptr ? std::move(file) : hooks->opened(std::move(file));
}

absl::StatusOr<std::unique_ptr<WritableFile>> WritableFile::create(const std::string& path, bool append_mode) {
  return open_for_writing(path, append_mode ? O_APPEND : O_TRUNC);
}

absl::StatusOr<std::unique_ptr<WritableFile>> WritableFile::create_new(const std::string& path) {
  return open_for_writing(path, O_EXCL);
}

absl::StatusOr<AtomicFile> AtomicFile::create(const std::string& path) {
  AtomicFile file;
  file.path_ = path;
  file.temporary_ = fmt::format("{}.tmp.{}", path, ::getpid());
  auto writable = WritableFile::create(file.temporary_);
  if (!writable.ok()) return writable.status();
  file.file_ = *std::move(writable);
  return file;
}

AtomicFile::AtomicFile(AtomicFile&&) noexcept = default;

AtomicFile::~AtomicFile() {
  if (file_ != nullptr) remove_file(temporary_).IgnoreError();  // already on the way out of a failure
}

absl::Status AtomicFile::append(std::string_view data) { return file_->append(data); }

absl::Status AtomicFile::commit() {
  if (absl::Status s = file_->sync(); !s.ok()) return s;
  if (absl::Status s = file_->close(); !s.ok()) return s;
  LOCKSTEP_RETURN_IF_ERROR(before(FileOp::kRename, path_));
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return os_error("rename the temporary file to", path_);
  file_.reset();
  return sync_directory(directory_name(path_));
}

absl::StatusOr<DirectoryLock> DirectoryLock::acquire(const std::string& directory) {
  DirectoryLock lock;
  lock.fd_ = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock.fd_ < 0) return os_error("open the directory", directory);
  if (::flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return DirectoryLock();
    return absl::FailedPreconditionError(fmt::format("{} is in use by another process", directory));
  }
  // Between opening and locking, whoever held it may have moved it and another directory taken its name.
  struct stat locked {
  }, named{};
  const bool same = ::fstat(lock.fd_, &locked) == 0 && ::stat(directory.c_str(), &named) == 0 &&
                    locked.st_dev == named.st_dev && locked.st_ino == named.st_ino;
  if (same) return lock;
  return absl::FailedPreconditionError(fmt::format("{} was moved by another process", directory));
}

DirectoryLock::~DirectoryLock() {
  if (fd_ >= 0) ::close(fd_);
}

absl::Status write_file_atomic(const std::string& path, std::string_view contents) {
  auto file = AtomicFile::create(path);
  if (!file.ok()) return file.status();
  if (absl::Status s = file->append(contents); !s.ok()) return s;
  return file->commit();
}

absl::StatusOr<std::string> read_descriptor(int descriptor, const std::string& name, uint64_t limit_bytes) {
  std::string contents;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t n = ::read(descriptor, buffer, sizeof(buffer));
    note_activity();
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error("read", name);
    if (n == 0) return contents;
    contents.append(buffer, static_cast<size_t>(n));
    if (contents.size() > limit_bytes) {
      return absl::ResourceExhaustedError(fmt::format("{}: more than {} bytes", name, limit_bytes));
    }
  }
}

absl::StatusOr<std::string> read_file(const std::string& path, uint64_t limit_bytes) {
  // What a shell makes of `<(command)`; nobody knows its size before.
  if (std::error_code error; std::filesystem::is_fifo(path, error)) return read_pipe(path, limit_bytes);
  auto file = RandomAccessFile::open(path);
  if (!file.ok()) return file.status();
  const uint64_t size = (*file)->size();
  if (size > limit_bytes) {
    return absl::ResourceExhaustedError(
        fmt::format("{}: {} bytes, more than the limit of {} bytes", path, size, limit_bytes));
  }
  std::string contents(size, '\0');
  auto read = (*file)->read_at(0, contents.size(), contents.data());
  if (!read.ok()) return read.status();
  contents.resize(*read);
  return contents;
}

bool file_exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

bool is_directory(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool is_stream(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 &&
         (S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode) || S_ISSOCK(info.st_mode));
}

absl::Status make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return absl::OkStatus();
  errno = error.value();
  return os_error("create the directory", path);
}

absl::Status make_new_directory(const std::string& path) {
  LOCKSTEP_RETURN_IF_ERROR(before(FileOp::kCreate, path));
  return ::mkdir(path.c_str(), 0777) == 0 ? absl::OkStatus() : os_error("create the directory", path);
}

absl::Status rename_path(const std::string& from, const std::string& to) {
  LOCKSTEP_RETURN_IF_ERROR(before(FileOp::kRename, to));
  if (::rename(from.c_str(), to.c_str()) != 0) return os_error(fmt::format("rename {} to it", from), to);
  return sync_directory(directory_name(to));
}

absl::Status remove_file(const std::string& path) {
  LOCKSTEP_RETURN_IF_ERROR(before(FileOp::kRemove, path));
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return os_error("remove", path);
}

absl::Status remove_tree(const std::string& path) {
  LOCKSTEP_RETURN_IF_ERROR(before(FileOp::kRemove, path));
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (!error) return absl::OkStatus();
  errno = error.value();
  return os_error("remove", path);
}

absl::StatusOr<std::vector<std::string>> list_directory(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) {
    errno = error.value();
    return os_error("list the directory", path);
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status sync_directory(const std::string& path) {
  LOCKSTEP_RETURN_IF_ERROR(before(FileOp::kSyncDirectory, path));
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return os_error("open the directory", path);
  const int result = ::fsync(fd);
  absl::Status status = result == 0 ? absl::OkStatus() : os_error("fsync the directory", path);
  ::close(fd);
  return status;
}

std::string join_path(std::string_view directory, std::string_view name) {
  if (directory.empty()) return std::string(name);
  return fmt::format("{}{}{}", directory, directory.back() == '/' ? "" : "/", name);
}

std::string base_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

std::string directory_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

}  // namespace lockstep
