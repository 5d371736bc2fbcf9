// SPDX-License-Identifier: Apache-2.0
#include "serve/registry/staging_directory.h"

#include <fmt/format.h>

#include <random>

namespace lockstep {
namespace {

constexpr std::string_view kPrefix = "temp-";
constexpr int kTries = 20;  // names that others take, and directories that they remove, in the same moment

std::string fresh_path(const std::string& parent) {
  std::random_device random;
  return join_path(parent, fmt::format("{}{:08x}{:08x}", kPrefix, random(), random()));
}

// Every directory of `path` that is missing, each made durable in its parent.
absl::Status make_durable_directories(const std::string& path) {
  if (is_directory(path)) return absl::OkStatus();
  LOCKSTEP_RETURN_IF_ERROR(make_durable_directories(directory_name(path)));
  LOCKSTEP_RETURN_IF_ERROR(make_directories(path));
  return sync_directory(directory_name(path));
}

}  // namespace

absl::StatusOr<StagingDirectory> StagingDirectory::create(const std::string& parent) {
  absl::Status status;
  for (int i = 0; i < kTries; ++i) {
    LOCKSTEP_RETURN_IF_ERROR(make_durable_directories(parent));
    StagingDirectory staging;
    const std::string path = fresh_path(parent);
    status = make_new_directory(path);
    if (absl::IsPermissionDenied(status)) break;
    if (!status.ok()) continue;
    // Until it is locked it looks abandoned, and may be gone.
    auto lock = DirectoryLock::acquire(path);
    status = lock.status();
    if (!lock.ok()) continue;
    staging.path_ = path;
    staging.lock_ = *std::move(lock);
    return staging;
  }
  return annotate(status, fmt::format("{}: no directory for a new version", parent));
}

StagingDirectory::~StagingDirectory() {
  if (!path_.empty()) remove_tree(path_).IgnoreError();  // remove_abandoned() comes by again
}

absl::Status remove_abandoned(const std::string& parent) {
  if (!is_directory(parent)) return absl::OkStatus();
  LOCKSTEP_ASSIGN_OR_RETURN(const auto names, list_directory(parent));
  for (const std::string& name : names) {
    const std::string path = join_path(parent, name);
    if (!name.starts_with(kPrefix) || !is_directory(path)) continue;
    const auto lock = DirectoryLock::acquire(path);
    if (lock.ok() && lock->holds()) LOCKSTEP_RETURN_IF_ERROR(remove_tree(path));
  }
  return absl::OkStatus();
}

absl::Status abandon(const std::string& parent, const std::string& directory) {
  return rename_path(directory, fresh_path(parent));
}

}  // namespace lockstep
