// SPDX-License-Identifier: Apache-2.0
// Offers the newest version in a directory, as TensorFlow Serving does with --model_base_path.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "serve/models/version_source.h"

namespace lockstep {

// The newest version at `base_path`, which is one of
//   a directory of versions, each in a directory named by its number: <base_path>/<number>/saved_model.pb;
//   a training run or an export root with such a directory in it: <base_path>/export/Servo, <base_path>/Servo;
//   one version: the directory of a SavedModel, an ONNX file, or a run or checkpoint that has not been exported. Its
//   version is the number that it is named by, else 1.
// NotFound, with the tree that was expected, when it is none of these.
absl::StatusOr<WantedVersion> newest_version(const std::string& base_path);

struct DirectorySourceOptions {
  std::string model_name, base_path;
  std::chrono::milliseconds poll_wait{1000};
};

// Offers the newest version and, while that does not load, the next older one as well, and so on. A base path without
// a version is waited for, with a warning; start() fails when there is nothing at all at it. What has been offered
// stays offered when the directory is gone.
std::unique_ptr<VersionSource> make_directory_source(const DirectorySourceOptions& options);

}  // namespace lockstep
