// SPDX-License-Identifier: Apache-2.0
#include "io/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace lockstep {
namespace {

TEST(Crc32c, MatchesPublishedVectors) {
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);
}

TEST(Crc32c, MaskMatchesPublishedVectors) {
  EXPECT_EQ(masked_crc32c(""), 0xA282EAD8u);
  EXPECT_EQ(masked_crc32c("\x1a\x11"
                          "CRC test, one two"),
            0x5794D08Au);
  // The length field of a record of 875 bytes.
  EXPECT_EQ(masked_crc32c(std::string("\x6b\x03\0\0\0\0\0\0", 8)), 0x78185f7du);
}

TEST(Crc32c, UnmaskUndoesMask) {
  for (uint32_t crc : {0u, 1u, 0x7fffu, 0x8000u, 0xE3069283u, 0xffffffffu}) {
    EXPECT_EQ(unmask_crc32c(mask_crc32c(crc)), crc);
  }
}

TEST(Crc32c, ExtendEqualsWholeAtEveryCut) {
  std::string data;
  for (int i = 0; i < 300; ++i) data += static_cast<char>(i * 7 + 1);
  const uint32_t whole = crc32c(data);
  for (size_t cut = 0; cut <= data.size(); ++cut) {
    const std::string_view view = data;
    EXPECT_EQ(crc32c_extend(crc32c(view.substr(0, cut)), view.substr(cut)), whole) << "cut at " << cut;
  }
}

}  // namespace
}  // namespace lockstep
