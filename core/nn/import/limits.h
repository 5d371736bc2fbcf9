// SPDX-License-Identifier: Apache-2.0
// What importing a stranger's graph may cost, whatever its format.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lockstep {

inline constexpr int64_t kMaxImportSteps = 1'000'000;  // of reading a graph, which may go round in circles
inline constexpr int kMaxImportDepth = 64;             // operators between a weight and its use
inline constexpr int64_t kMaxShapeIntegers = 64;       // of a shape
inline constexpr size_t kMaxImportRank = 8;            // axes of a tensor

}  // namespace lockstep
