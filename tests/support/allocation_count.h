// SPDX-License-Identifier: Apache-2.0
// Counts calls of operator new, for tests that something allocates nothing. Link allocation_count.cc into the test
// program: it replaces the operator for the whole of it.
#pragma once

#include <cstdint>

namespace lockstep {

// Calls since the program started, by all threads.
int64_t allocation_count();

}  // namespace lockstep
