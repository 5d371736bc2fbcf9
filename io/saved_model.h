// SPDX-License-Identifier: Apache-2.0
// SavedModel directories as TensorFlow 1 writes them: `<base>/<version>/saved_model.pb` and `variables/`, where the
// version is the Unix time of the export. docs/formats/saved_model.md has the bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "io/tensor_bundle.h"

namespace lockstep {

namespace proto {
class MetaGraphDef;
class SavedModel;
}  // namespace proto

struct SavedModelWriteOptions {
  // Versions that stay in the base directory, the new one included; 0: all.
  int64_t exports_to_keep = 1;
  // Unix seconds; tests set the clock.
  std::function<int64_t()> now_s = nullptr;
  // Gets the path of each version that is removed for exports_to_keep, after its removal.
  std::function<void(const std::string&)> on_removed = nullptr;
};

// Writes a new version into `base` (made when missing) and returns its directory. Everything goes to the sister
// directory `temp-<version>` first, is fsynced, and then renamed: a server that watches `base` never sees half a model.
// The version is the Unix time, or one above the newest version when the clock is not beyond that, so that the newest
// export always is the one that servers take. Without `variables` there is no variables directory.
//
// Once the new version is in place, the oldest ones (directories with a decimal name and a saved_model.pb) go, down to
// `exports_to_keep`, and so do the temporary directories that writers of ours left when they were killed: those with
// the file kUnfinishedFile whose lock nobody holds. Nothing else is ever touched; on a file system without locks nor
// are these. An error before that leaves nothing behind; one of the removal says that the export itself is there.
// Thread-safe, and safe beside other processes that export to `base`.
absl::StatusOr<std::string> write_saved_model(const std::string& base, const proto::SavedModel& model,
                                              std::vector<BundleTensor> variables,
                                              const SavedModelWriteOptions& options = {});

// A SavedModel as read: immutable, thread-safe.
struct SavedModelFiles {
  std::string directory;                                  // the one that holds saved_model.pb
  std::shared_ptr<const proto::MetaGraphDef> meta_graph;  // the one with the tag `serve`
  std::shared_ptr<const TensorBundleReader> variables;    // null when there is no variables/variables.index
};

// The directory with saved_model.pb that `path` means: itself, that file's, the highest numbered version in it (names
// are decimal numbers, others are ignored), or the same for its only sub-directory with versions (`export`, which holds
// `Servo`). NotFound shows the tree that was expected.
absl::StatusOr<std::string> saved_model_directory(const std::string& path);

// `path` as for saved_model_directory. Errors name the file, what was found and what was expected. The index of the
// variables is verified whole, their bytes when they are read.
absl::StatusOr<SavedModelFiles> read_saved_model(const std::string& path);

}  // namespace lockstep
