// SPDX-License-Identifier: Apache-2.0
// Lets go of the versions of a ModelStore that nobody wants any more.
#pragma once

#include <mutex>

#include "serve/models/store_state.h"

namespace lockstep {

// Those whose requests have all been answered, or whose time for that is over. `lock` is of the state's mutex, and let
// go of while memory is freed. True when something has changed.
bool unload_versions(StoreState& state, std::unique_lock<std::mutex>& lock);

}  // namespace lockstep
