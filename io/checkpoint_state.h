// SPDX-License-Identifier: Apache-2.0
// The `checkpoint` text file beside a set of checkpoints: which there are, and which is the newest.
#pragma once

#include <string>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

struct CheckpointState {
  std::string latest;            // prefix, relative to the directory of the file unless absolute
  std::vector<std::string> all;  // oldest first; the last one is usually `latest`
};

// TensorFlow's text format: one `key: "value"` a line.
std::string checkpoint_state_text(const CheckpointState& state);

// NotFound when there is no such file, DataLoss with line and column when it is not one of these. Unknown fields are
// ignored.
absl::StatusOr<CheckpointState> read_checkpoint_state(const std::string& path);

// Where `name` of a state file in `directory` points. An absolute path whose directory has been moved away is looked
// for in `directory`.
std::string resolve_checkpoint(const std::string& directory, const std::string& name);

}  // namespace lockstep
