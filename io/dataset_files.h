// SPDX-License-Identifier: Apache-2.0
// Which files of a data directory make up a split.
#pragma once

#include <string>
#include <vector>

#include "core/base/status.h"
#include "io/batch_source.h"

namespace lockstep {

// Either record shards, in name order, or one pair of IDX files.
struct DatasetFiles {
  std::vector<std::string> shards;
  std::string images, labels;
};

// Rules as open_dataset() in batch_source.h states them. Temporary files of an interrupted writer are passed over. A
// missing shard of a numbered set (`-00000-of-00004`), and the same records twice (plain and compressed), are errors.
// NotFound names what was looked for and what the directory holds.
absl::StatusOr<DatasetFiles> find_dataset_files(const std::string& directory, Split split);

}  // namespace lockstep
