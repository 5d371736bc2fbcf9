// SPDX-License-Identifier: Apache-2.0
#include "core/nn/import/shape_list.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace lockstep {

std::string sizes_text(std::span<const int64_t> sizes) {
  std::vector<std::string> parts;
  for (const int64_t size : sizes) parts.push_back(size == kBatchSize ? "batch" : fmt::format("{}", size));
  return fmt::format("[{}]", fmt::join(parts, ", "));
}

std::optional<std::vector<int64_t>> example_sizes(std::span<const int64_t> target, std::span<const int64_t> sizes,
                                                  std::optional<int64_t> fixed_batch) {
  if (target.size() < 2) return std::nullopt;
  const bool batch_given = target[0] == kBatchSize || (fixed_batch && target[0] == *fixed_batch);
  if (!batch_given && target[0] != -1) return std::nullopt;
  int64_t elements = 1;
  for (const int64_t size : sizes) elements *= size;
  std::vector<int64_t> example(target.begin() + 1, target.end());
  int64_t* open = nullptr;
  int64_t known = 1;
  for (int64_t& size : example) {
    if (size == -1 && open == nullptr && batch_given) {
      open = &size;
    } else if (size < 1 || known > elements / size) {
      return std::nullopt;
    } else {
      known *= size;
    }
  }
  if (open != nullptr) {
    *open = elements / known;
    known *= *open;
  }
  return known == elements ? std::optional(std::move(example)) : std::nullopt;
}

}  // namespace lockstep
