// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli) and the mask that TFRecord, tensor bundles and LevelDB tables put over it. Thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace lockstep {

// CRC-32C of `bytes`; "123456789" gives 0xE3069283.
uint32_t crc32c(std::string_view bytes);

// CRC-32C of A followed by `bytes`, where `crc` is the (unmasked) CRC-32C of A.
uint32_t crc32c_extend(uint32_t crc, std::string_view bytes);

// A stored CRC is masked so that the CRC of data that itself contains CRCs stays useful: rotate right 15, add a
// constant.
constexpr uint32_t kCrcMaskDelta = 0xA282EAD8u;
constexpr uint32_t mask_crc32c(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + kCrcMaskDelta; }
constexpr uint32_t unmask_crc32c(uint32_t masked) {
  const uint32_t rotated = masked - kCrcMaskDelta;
  return (rotated >> 17) | (rotated << 15);
}
inline uint32_t masked_crc32c(std::string_view bytes) { return mask_crc32c(crc32c(bytes)); }

}  // namespace lockstep
