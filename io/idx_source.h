// SPDX-License-Identifier: Apache-2.0
// Where the four IDX files of a data set come from: a directory, a URL, or the public mirrors of MNIST.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

struct IdxFiles {
  std::string train_images, train_labels, test_images, test_labels;
};

// The value of `--source` that stands for the public mirrors.
inline constexpr std::string_view kMirrorSource = "mirror";

// A file as all mirrors serve it.
struct MirroredFile {
  std::string name, sha256;
};
struct Mirrors {
  std::vector<std::string> bases;   // URLs, tried in turn
  std::vector<MirroredFile> files;  // checked against these
};
// The two public mirrors of MNIST and the checksums of its four .gz files.
const Mirrors& mnist_mirrors();

struct IdxSourceOptions {
  // A directory, a URL base, or kMirrorSource.
  std::string source;
  // Downloaded files are kept here, and used again when they have the checksum of the mirrors.
  std::string cache_directory;
  // A directory without the four files is replaced by the mirrors: for a default that need not exist.
  bool fall_back_to_mirrors = false;
  Mirrors mirrors = mnist_mirrors();
  std::function<void(std::string_view line)> on_line = [](std::string_view) {};
  std::function<void(double fraction)> on_progress = [](double) {};
};

// Finds or downloads the four files, `.gz` or not. Files from a URL base that is one of the mirrors are checked too.
absl::StatusOr<IdxFiles> resolve_idx_source(const IdxSourceOptions& options);

}  // namespace lockstep
