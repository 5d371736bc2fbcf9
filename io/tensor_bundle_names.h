// SPDX-License-Identifier: Apache-2.0
// Names and sizes shared by the writers and the readers of tensor bundles.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace lockstep {

inline constexpr std::string_view kBundleIndexSuffix = ".index";
// An int64 scalar of every checkpoint, TensorFlow's and ours.
inline constexpr char kGlobalStepVariable[] = "global_step";

inline std::string bundle_index_path(std::string_view prefix) {
  return fmt::format("{}{}", prefix, kBundleIndexSuffix);
}
inline std::string bundle_data_path(std::string_view prefix, int shard, int shards) {
  return fmt::format("{}.data-{:05}-of-{:05}", prefix, shard, shards);
}

// The prefix when `path` has the form of a file of a set (`.index`, `.data-ddddd-of-ddddd`, `.meta`), else nothing.
inline std::optional<std::string> strip_bundle_suffix(std::string_view path) {
  for (const std::string_view suffix : {kBundleIndexSuffix, std::string_view(".meta")}) {
    if (path.ends_with(suffix)) return std::string(path.substr(0, path.size() - suffix.size()));
  }
  constexpr std::string_view kPattern = ".data-ddddd-of-ddddd";
  if (path.size() < kPattern.size()) return std::nullopt;
  const std::string_view tail = path.substr(path.size() - kPattern.size());
  for (size_t i = 0; i < kPattern.size(); ++i) {
    // Letters of the pattern stand for themselves, but for the digits behind `.data-`.
    const bool digit = kPattern[i] == 'd' && i >= 6;
    if (digit ? tail[i] < '0' || tail[i] > '9' : tail[i] != kPattern[i]) return std::nullopt;
  }
  return std::string(path.substr(0, path.size() - kPattern.size()));
}

// Elements of a tensor of this shape; nothing when a size is negative or the product exceeds 2^56 (bytes then fit in
// int64 for every type).
inline std::optional<uint64_t> element_count(std::span<const int64_t> shape) {
  constexpr uint64_t kLimit = uint64_t{1} << 56;
  uint64_t count = 1;
  for (const int64_t size : shape) {
    if (size < 0 || (size > 0 && count > kLimit / static_cast<uint64_t>(size))) return std::nullopt;
    count *= static_cast<uint64_t>(size);
  }
  return count;
}

}  // namespace lockstep
