// SPDX-License-Identifier: Apache-2.0
// `lockstep records create`: IDX files to train, validation and test TFRecord files.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "io/idx_source.h"

namespace lockstep {

struct RecordsOptions {
  // A directory with the four IDX files, a URL base, or "mirror".
  std::string source = "data/mnist";
  bool fall_back_to_mirrors = false;  // when `source` is a directory without the files
  // Receives train.tfrecords, validation.tfrecords and test.tfrecords; downloads go to its folder `download`.
  std::string directory;
  int64_t validation_size = 5000;  // images from the front of the training set
  int classes = 10;                // labels must be below it; 0 accepts all
  Mirrors mirrors = mnist_mirrors();
  // The lines that the tutorial's script prints, and how much of the current work is done: from more than one thread,
  // but one call at a time.
  std::function<void(std::string_view line)> on_line = [](std::string_view) {};
  std::function<void(double fraction)> on_progress = [](double) {};
};

struct RecordsSummary {
  int64_t train = 0, validation = 0, test = 0;
};

// Writes the three files and renames them into place only when all of them are complete. On an error no file of an
// earlier run has been touched, unless the error is that of a rename itself.
absl::StatusOr<RecordsSummary> create_records(const RecordsOptions& options);

}  // namespace lockstep
