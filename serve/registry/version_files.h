// SPDX-License-Identifier: Apache-2.0
// The files of a registered version: a SavedModel of its own, with the SHA-256 of each file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

struct VersionFile {
  std::string path;  // below the version's directory
  int64_t size_bytes = 0;
  std::string sha256;  // hex
};

struct StagedModel {
  std::string directory;  // of the SavedModel, below the staging directory
  std::vector<VersionFile> files;
  std::vector<std::string> warnings;  // of load_trained_model()
};

// Makes the SavedModel that `origin` means in the empty directory `staging`: the files of a SavedModel as they are;
// anything else that load_trained_model() takes (a run, a checkpoint, ONNX) is exported. Files and directories are
// fsynced, and the result has been loaded. Errors are those of load_trained_model(); then `staging` holds remains.
absl::StatusOr<StagedModel> stage_model(const std::string& origin, const std::string& staging);

// DataLoss with the file's path unless every file is there with its size and SHA-256. Reads them all.
absl::Status verify_version_files(const std::string& directory, const std::vector<VersionFile>& files);

}  // namespace lockstep
