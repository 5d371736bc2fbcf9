// SPDX-License-Identifier: Apache-2.0
// Directories in which versions are made before they are registered. One lives no longer than its process: what a
// killed one leaves is recognised by its lock, which nobody holds.
#pragma once

#include <string>

#include "core/base/file.h"
#include "core/base/status.h"

namespace lockstep {

class StagingDirectory {
 public:
  // A new empty directory in `parent`, which is made when missing, durably; safe beside other processes that do the
  // same, or remove_abandoned().
  static absl::StatusOr<StagingDirectory> create(const std::string& parent);
  StagingDirectory(StagingDirectory&& other) noexcept
      : path_(std::exchange(other.path_, "")), lock_(std::move(other.lock_)) {}
  StagingDirectory& operator=(StagingDirectory&&) = delete;
  ~StagingDirectory();  // removes it with what is left in it

  const std::string& path() const { return path_; }

 private:
  StagingDirectory() = default;
  std::string path_;
  DirectoryLock lock_;
};

// Removes the staging directories in `parent` whose processes have ended. On a file system without locks nobody can
// tell, and they stay. OK when `parent` does not exist.
absl::Status remove_abandoned(const std::string& parent);

// Takes a directory out of `parent`, in which it is, under the name of a staging directory: remove_abandoned() then
// removes it.
absl::Status abandon(const std::string& parent, const std::string& directory);

}  // namespace lockstep
