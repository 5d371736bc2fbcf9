// SPDX-License-Identifier: Apache-2.0
#include "io/saved_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>

#include "core/base/file.h"
#include "io/proto/saved_model.pb.h"
#include "io/protobuf_bytes.h"
#include "io/saved_model_names.h"

namespace lockstep {
namespace {

constexpr int kVersionTries = 100;  // versions that other processes may take at the same time
constexpr std::string_view kTemporaryPrefix = "temp-";

std::string variables_prefix(const std::string& directory) {
  return join_path(join_path(directory, kVariablesDirectory), kVariablesDirectory);
}

int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Every directory of `path` that is missing, each made durable in its parent.
absl::Status make_durable_directories(const std::string& path) {
  std::vector<std::string> missing;
  for (std::string at = path; !file_exists(at); at = directory_name(at)) missing.push_back(at);
  LOCKSTEP_RETURN_IF_ERROR(make_directories(path));
  for (const std::string& made : missing) LOCKSTEP_RETURN_IF_ERROR(sync_directory(directory_name(made)));
  return absl::OkStatus();
}

// What a link points to is not ours.
bool is_link(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_symlink(path, error);
}

absl::Status mark_unfinished(const std::string& directory) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto file, WritableFile::create(join_path(directory, kUnfinishedFile)));
  LOCKSTEP_RETURN_IF_ERROR(
      file->append("An export of Lockstep that was killed has left this directory; the next one here removes it.\n"));
  return file->close();
}

// The mark goes last: a removal that is killed is completed by the next export.
absl::Status remove_marked(const std::string& directory) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto names, list_directory(directory));
  for (const std::string& name : names) {
    if (name != kUnfinishedFile) LOCKSTEP_RETURN_IF_ERROR(remove_tree(join_path(directory, name)));
  }
  return remove_tree(directory);
}

// What killed writers left. Whether one lives tells its lock.
absl::Status remove_leftovers(const std::string& base) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto names, list_directory(base));
  for (const std::string& name : names) {
    const std::string path = join_path(base, name);
    if (!name.starts_with(kTemporaryPrefix) || is_link(path)) continue;
    if (!file_exists(join_path(path, kUnfinishedFile))) continue;
    const auto lock = DirectoryLock::acquire(path);
    if (lock.ok() && lock->holds()) LOCKSTEP_RETURN_IF_ERROR(remove_marked(path));
  }
  return absl::OkStatus();
}

// `temp-<version>` while it is being written, locked; removed unless committed.
class NewVersion {
 public:
  // Making the directory claims the version among all who write to `base`.
  static absl::StatusOr<NewVersion> claim(const std::string& base, int64_t now_s) {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto versions, saved_model_versions(base));
    int64_t version = versions.empty() ? now_s : std::max(now_s, versions.back().number + 1);
    for (int tries = 0;; ++tries, ++version) {
      NewVersion claimed(base, version);
      const absl::Status made = make_new_directory(claimed.temporary_);
      if (made.ok()) claimed.owns_ = true;
      if (made.ok() && !file_exists(claimed.final_)) {
        LOCKSTEP_ASSIGN_OR_RETURN(claimed.lock_, DirectoryLock::acquire(claimed.temporary_));
        LOCKSTEP_RETURN_IF_ERROR(mark_unfinished(claimed.temporary_));
        return claimed;
      }
      if (!made.ok() && (!absl::IsAlreadyExists(made) || tries == kVersionTries)) return made;
    }
  }
  NewVersion(NewVersion&& other) noexcept
      : temporary_(std::move(other.temporary_)),
        final_(std::move(other.final_)),
        lock_(std::move(other.lock_)),
        owns_(std::exchange(other.owns_, false)) {}
  ~NewVersion() {
    if (owns_) remove_tree(temporary_).IgnoreError();  // already on the way out of a failure
  }

  const std::string& directory() const { return temporary_; }

  // The version, mark included: drop_mark() is to follow. This order leaves nothing that nobody would remove.
  absl::StatusOr<std::string> commit() {
    LOCKSTEP_RETURN_IF_ERROR(rename_path(temporary_, final_));
    owns_ = false;
    return final_;
  }
  absl::Status drop_mark() { return remove_file(join_path(final_, kUnfinishedFile)); }

 private:
  NewVersion(const std::string& base, int64_t version)
      : temporary_(join_path(base, fmt::format("{}{}", kTemporaryPrefix, version))),
        final_(join_path(base, fmt::format("{}", version))) {}

  std::string temporary_, final_;
  DirectoryLock lock_;
  bool owns_ = false;
};

absl::Status write_files(const std::string& directory, const proto::SavedModel& model,
                         std::vector<BundleTensor> variables) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string bytes, protobuf_bytes(model));
  if (!variables.empty()) {
    LOCKSTEP_RETURN_IF_ERROR(make_new_directory(join_path(directory, kVariablesDirectory)));
    LOCKSTEP_RETURN_IF_ERROR(write_tensor_bundle(variables_prefix(directory), std::move(variables)));
  }
  // Syncs the directory too, with the name of the variables' one.
  return write_file_atomic(join_path(directory, kSavedModelFile), bytes);
}

// A version leaves `base` under another name first: nobody loads one that is half gone.
absl::Status remove_version(const std::string& base, const std::string& name) {
  const std::string version = join_path(base, name), doomed = join_path(base, std::string(kTemporaryPrefix) + name);
  const bool link = is_link(version);
  if (!link) LOCKSTEP_RETURN_IF_ERROR(mark_unfinished(version));
  LOCKSTEP_RETURN_IF_ERROR(rename_path(version, doomed));
  return link ? remove_tree(doomed) : remove_marked(doomed);
}

absl::Status remove_old_versions(const std::string& base, const SavedModelWriteOptions& options) {
  const int64_t keep = options.exports_to_keep;
  if (keep == 0) return absl::OkStatus();
  LOCKSTEP_ASSIGN_OR_RETURN(auto versions, saved_model_versions(base));
  // A numbered directory of something else is not ours to remove.
  std::erase_if(versions, [&](const SavedModelVersion& version) {
    return !file_exists(join_path(join_path(base, version.name), kSavedModelFile));
  });
  const size_t surplus = versions.size() - std::min(versions.size(), static_cast<size_t>(keep));
  for (size_t i = 0; i < surplus; ++i) {
    LOCKSTEP_RETURN_IF_ERROR(remove_version(base, versions[i].name));
    if (options.on_removed) options.on_removed(join_path(base, versions[i].name));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> write_saved_model(const std::string& base, const proto::SavedModel& model,
                                              std::vector<BundleTensor> variables,
                                              const SavedModelWriteOptions& options) {
  LOCKSTEP_RETURN_IF_ERROR(make_durable_directories(base));
  LOCKSTEP_ASSIGN_OR_RETURN(NewVersion version,
                            NewVersion::claim(base, options.now_s ? options.now_s() : unix_seconds()));
  LOCKSTEP_RETURN_IF_ERROR(write_files(version.directory(), model, std::move(variables)));
  LOCKSTEP_ASSIGN_OR_RETURN(const std::string directory, version.commit());
  LOCKSTEP_RETURN_IF_ERROR(annotate(version.drop_mark(), directory + " is written, but not without a needless file"));
  absl::Status removed = remove_old_versions(base, options);
  removed.Update(remove_leftovers(base));
  LOCKSTEP_RETURN_IF_ERROR(annotate(removed, directory + " is written, but older versions could not be removed"));
  return directory;
}

}  // namespace lockstep
