// SPDX-License-Identifier: Apache-2.0
// File names and versions shared by the writer and the reader of SavedModels.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace lockstep {

inline constexpr std::string_view kSavedModelFile = "saved_model.pb";
inline constexpr std::string_view kVariablesDirectory = "variables";
// In a directory `temp-<version>` that a writer of ours fills or empties, and has locked while it lives.
inline constexpr std::string_view kUnfinishedFile = ".lockstep_unfinished";

struct SavedModelVersion {
  int64_t number = 0;
  std::string name;  // as the directory is called; servers allow leading zeros
};

// The directories in `base` whose names are decimal numbers below 2^62, in the order of the numbers. Links to
// directories count as well.
absl::StatusOr<std::vector<SavedModelVersion>> saved_model_versions(const std::string& base);

}  // namespace lockstep
