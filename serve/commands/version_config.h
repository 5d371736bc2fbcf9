// SPDX-License-Identifier: Apache-2.0
// The file behind `versions create --config`, as gcloud takes it: fields of a Version, in YAML or JSON.
#pragma once

#include <string>
#include <vector>

#include "core/base/status.h"
#include "serve/registry/registry.h"

namespace lockstep {

// Fills what is still empty of `version`; labels are added to. Unknown fields and values of another kind are errors
// with their line. `unused` names the fields that were given and have no use here.
absl::Status read_version_config(const std::string& path, RegisteredVersion& version, std::vector<std::string>& unused);

}  // namespace lockstep
