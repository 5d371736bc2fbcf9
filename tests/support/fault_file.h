// SPDX-License-Identifier: Apache-2.0
// Files that fail on purpose: damage on disk, a full disk, a process killed between two file operations.
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/file.h"

namespace lockstep {

// Installs `hooks` for the lifetime of this object.
class ScopedFileHooks {
 public:
  explicit ScopedFileHooks(FileHooks* hooks) { set_file_hooks(hooks); }
  ~ScopedFileHooks() { set_file_hooks(nullptr); }
  ScopedFileHooks(const ScopedFileHooks&) = delete;
  ScopedFileHooks& operator=(const ScopedFileHooks&) = delete;
};

// Writes down every operation that changes something, as "rename model.index". Thread-safe.
class FileOpLog : public FileHooks {
 public:
  absl::Status before(FileOp op, const std::string& path, size_t*) override {
    std::lock_guard lock(mutex_);
    if (op != FileOp::kOpen) lines_.push_back(fmt::format("{} {}", file_op_name(op), base_name(path)));
    return absl::OkStatus();
  }
  std::vector<std::string> lines() const {
    std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

// The process dies just before its `at`-th (from 0) changing operation; a write that is hit leaves half of its bytes.
// Nothing after that reaches the disk, not even the clean-up of destructors. Thread-safe.
class CrashAt : public FileHooks {
 public:
  explicit CrashAt(int at) : at_(at) {}
  absl::Status before(FileOp op, const std::string& path, size_t* bytes) override {
    if (op == FileOp::kOpen) return absl::OkStatus();
    const int index = count_++;
    if (index < at_) return absl::OkStatus();
    *bytes = index == at_ ? *bytes / 2 : 0;
    return absl::AbortedError(fmt::format("{}: injected crash before {}", path, file_op_name(op)));
  }
  bool crashed() const { return count_ > at_; }

 private:
  const int at_;
  std::atomic<int> count_{0};
};

// The disk takes `bytes` more, then every write fails as ENOSPC does. Thread-safe.
class NoSpaceAfter : public FileHooks {
 public:
  explicit NoSpaceAfter(size_t bytes) : left_(bytes) {}
  absl::Status before(FileOp op, const std::string& path, size_t* bytes) override {
    if (op != FileOp::kWrite) return absl::OkStatus();
    std::lock_guard lock(mutex_);
    const size_t written = std::min(left_, *bytes);
    left_ -= written;
    if (written == *bytes) return absl::OkStatus();
    *bytes = written;
    return absl::ErrnoToStatus(ENOSPC, fmt::format("{}: cannot write", path));
  }

 private:
  std::mutex mutex_;
  size_t left_;
};

// One kind of operation fails on files whose name contains `name_part`, `times` times (-1: always). Thread-safe.
class FailOn : public FileHooks {
 public:
  FailOn(FileOp op, std::string name_part, int times = -1) : op_(op), part_(std::move(name_part)), times_(times) {}
  absl::Status before(FileOp op, const std::string& path, size_t* bytes) override {
    if (op != op_ || base_name(path).find(part_) == std::string::npos) return absl::OkStatus();
    if (times_ >= 0 && failed_++ >= times_) return absl::OkStatus();
    *bytes = 0;
    return absl::ErrnoToStatus(EIO, fmt::format("{}: injected failure of {}", path, file_op_name(op)));
  }

 private:
  const FileOp op_;
  const std::string part_;
  const int times_;
  std::atomic<int> failed_{0};
};

// Files opened for reading whose name contains `name_part` fail with EIO from offset `fail_at` on.
class FailReadsAt : public FileHooks {
 public:
  FailReadsAt(std::string name_part, uint64_t fail_at) : part_(std::move(name_part)), fail_at_(fail_at) {}
  absl::Status before(FileOp, const std::string&, size_t*) override { return absl::OkStatus(); }
  std::unique_ptr<RandomAccessFile> opened(std::unique_ptr<RandomAccessFile> file) override {
    if (base_name(file->path()).find(part_) == std::string::npos) return file;
    return std::make_unique<File>(std::move(file), fail_at_);
  }

 private:
  class File : public RandomAccessFile {
   public:
    File(std::unique_ptr<RandomAccessFile> inner, uint64_t fail_at) : inner_(std::move(inner)), fail_at_(fail_at) {}
    absl::StatusOr<size_t> read_at(uint64_t offset, size_t bytes, void* out) const override {
      if (offset + bytes <= fail_at_) return inner_->read_at(offset, bytes, out);
      return absl::ErrnoToStatus(EIO, fmt::format("{}: cannot read at offset {}", path(), offset));
    }
    uint64_t size() const override { return inner_->size(); }
    const std::string& path() const override { return inner_->path(); }

   private:
    const std::unique_ptr<RandomAccessFile> inner_;
    const uint64_t fail_at_;
  };
  const std::string part_;
  const uint64_t fail_at_;
};

// Whole files as strings, without the code under test.
inline std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  LOCKSTEP_CHECK(in.good());
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}
inline void spill(const std::string& path, const std::string& contents) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << contents;
  out.close();
  LOCKSTEP_CHECK(out.good());
}
inline std::string with_bit_flipped(std::string bytes, size_t at, int bit) {
  bytes.at(at) = static_cast<char>(bytes[at] ^ (1 << bit));
  return bytes;
}

}  // namespace lockstep
