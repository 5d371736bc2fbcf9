// SPDX-License-Identifier: Apache-2.0
// The version of the programs, from CMakeLists.txt.
#pragma once

namespace lockstep {
inline constexpr char kVersion[] = LOCKSTEP_VERSION;
}  // namespace lockstep
