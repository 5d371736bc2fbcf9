// SPDX-License-Identifier: Apache-2.0
// Where the registry is, and how its models and versions may be called.
#pragma once

#include <string>
#include <string_view>

#include "core/base/status.h"

namespace lockstep {

// $LOCKSTEP_HOME, else ~/.lockstep. FailedPrecondition when neither it nor $HOME is set. Looks at the environment only.
absl::StatusOr<std::string> registry_home();

// Cloud ML Engine's rule: a letter, then letters, digits and underscores; at most 128 characters. So a name is a safe
// file name, too. InvalidArgument says what is wrong; `kind` is "model" or "version".
absl::Status check_registry_name(std::string_view kind, std::string_view name);

}  // namespace lockstep
