// SPDX-License-Identifier: Apache-2.0
// Base-128 varints, as protobuf and LevelDB write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace lockstep {

// Takes one varint from the front of `bytes`. Nothing when it is cut off, exceeds 64 bits or is longer than its value
// needs (no writer does that, so a bit has flipped); `bytes` is then undefined.
inline std::optional<uint64_t> take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    if (shift == 63 && byte > 1) return std::nullopt;
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return byte == 0 && shift > 0 ? std::nullopt : std::optional(value);
  }
  return std::nullopt;
}

}  // namespace lockstep
