// SPDX-License-Identifier: Apache-2.0
// Shapes as graphs give them to a Reshape: the axis of the examples first, whose size nobody knows.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace lockstep {

// In a list of sizes: the number of examples.
inline constexpr int64_t kBatchSize = std::numeric_limits<int64_t>::min();

// "[batch, 28, 28, 1]"
std::string sizes_text(std::span<const int64_t> sizes);

// What a reshape to `target` makes of one example with `sizes`, or nothing when it does not leave examples apart.
// `target` begins with the batch: -1, kBatchSize, or `fixed_batch` where the file fixes the number of examples. One of
// the others may be -1 unless the batch is.
std::optional<std::vector<int64_t>> example_sizes(std::span<const int64_t> target, std::span<const int64_t> sizes,
                                                  std::optional<int64_t> fixed_batch = std::nullopt);

}  // namespace lockstep
