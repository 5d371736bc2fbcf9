// SPDX-License-Identifier: Apache-2.0
#include "io/table_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "io/crc32c.h"
#include "io/varint.h"
#include "tests/io/table_fixture.h"
#include "tests/support/damage.h"

namespace lockstep {
namespace {

using testing::HasSubstr;
using namespace std::string_literals;

using Pairs = std::vector<std::pair<std::string, std::string>>;

Pairs pairs_of(const std::vector<TableEntry>& entries) {
  Pairs pairs;
  for (const TableEntry& entry : entries) pairs.emplace_back(entry.key, entry.value);
  return pairs;
}

// Keys with shared prefixes and compressible values.
Pairs many_entries(int count) {
  Pairs entries = {{"", "header"}};
  for (int i = 0; i < count; ++i) {
    entries.emplace_back(fmt::format("layer/{:04}", i), std::string(static_cast<size_t>(i % 50), 'v'));
  }
  return entries;
}

std::string message_of(const std::string& table) {
  return std::string(read_table(table, "x.index").status().message());
}

// Blocks by hand, to state lengths that no writer would.
std::string varint(uint64_t v) {
  std::string out;
  for (; v >= 128; v >>= 7) out += static_cast<char>(v % 128 + 128);
  return out + static_cast<char>(v);
}
std::string with_trailer(const std::string& block, char type = 0) {
  const std::string typed = block + type;
  const uint32_t crc = masked_crc32c(typed);
  return typed + std::string(reinterpret_cast<const char*>(&crc), 4);
}
std::string block_of(const std::string& entries) { return entries + "\0\0\0\0\x01\0\0\0"s; }
// A table of one data block, given with its trailer; the handle in the index block as stated.
std::string table_of(const std::string& data_block, uint64_t stated_offset, uint64_t stated_size) {
  const std::string handle = varint(stated_offset) + varint(stated_size);
  const std::string metaindex = block_of("");
  const std::string index = block_of("\0\x01"s + varint(handle.size()) + "z" + handle);
  std::string footer = varint(data_block.size()) + varint(metaindex.size()) +
                       varint(data_block.size() + metaindex.size() + 5) + varint(index.size());
  footer.resize(40);
  return data_block + with_trailer(metaindex) + with_trailer(index) + footer + "\x57\xfb\x80\x8b\x24\x75\x47\xdb";
}
std::string table_of(const std::string& block) { return table_of(with_trailer(block), 0, block.size()); }

std::string fixture_name(const testing::TestParamInfo<TableFixture>& fixture) {
  return fmt::format("{}BlocksOf{}", fixture.param.snappy ? "Snappy" : "Plain", fixture.param.block_bytes);
}

class TableReader : public testing::TestWithParam<TableFixture> {};

TEST_P(TableReader, ReadsWhatLevelDbWrites) {
  for (const int count : {0, 1, 15, 16, 17, 500}) {
    const Pairs entries = many_entries(count);
    const auto read = read_table(make_table(entries, GetParam()), "x.index");
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(pairs_of(*read), entries);
  }
}

TEST_P(TableReader, CutAnywhereOrWithAnyBitFlippedIsAnError) {
  const std::string good = make_table(many_entries(20), GetParam());
  for_each_cut(good, [](const std::string& damaged, size_t length) {
    EXPECT_TRUE(absl::IsDataLoss(read_table(damaged, "x").status())) << length;
  });
  for_each_bit_flip(good, [](const std::string& damaged, size_t bit) {
    EXPECT_TRUE(absl::IsDataLoss(read_table(damaged, "x").status())) << bit;
  });
}

INSTANTIATE_TEST_SUITE_P(Formats, TableReader,
                         testing::Values(TableFixture{}, TableFixture{.snappy = true},
                                         TableFixture{.block_bytes = 200, .restart_interval = 3},
                                         TableFixture{.snappy = true, .block_bytes = 200}),
                         fixture_name);

TEST(TableReaderDamage, TheHandMadeTableIsSound) {
  const auto read = read_table(table_of(block_of("\0\x01\x02"s + "avv")), "x");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(pairs_of(*read), (Pairs{{"a", "vv"}}));
}

TEST(TableReaderDamage, EmptyFileAndForeignFileAreNamed) {
  EXPECT_THAT(message_of(""), HasSubstr("x.index: offset 0: expected at least 48 bytes, found 0 bytes"));
  EXPECT_THAT(message_of(std::string(100, 'a')), HasSubstr("expected magic number db4775248b80fb57"));
}

TEST(TableReaderDamage, TrailingAndLeadingBytesAreErrors) {
  const std::string good = make_table(many_entries(3));
  EXPECT_FALSE(read_table(good + "x", "x").ok());
  EXPECT_FALSE(read_table("x" + good, "x").ok());
}

TEST(TableReaderDamage, HugeBlockSizesAllocateNothing) {
  const std::string block = block_of("\0\x01\x02"s + "avv");
  for (const uint64_t size : {uint64_t{1000}, uint64_t{1} << 40, ~uint64_t{0}, ~uint64_t{0} - 4}) {
    EXPECT_THAT(message_of(table_of(with_trailer(block), 0, size)), HasSubstr("a data block at offset 0"));
    EXPECT_THAT(message_of(table_of(with_trailer(block), size, block.size())), HasSubstr("a data block at offset 0"));
  }
}

TEST(TableReaderDamage, HugeEntryLengthsStayInsideTheBlock) {
  for (const std::string& entry :
       {varint(9) + varint(1) + varint(1) + "av", varint(0) + varint(~uint64_t{0}) + varint(1) + "av",
        varint(0) + varint(1) + varint(~uint64_t{0}) + "av", varint(0) + varint(1) + varint(2) + "av", "\0"s,
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"s}) {
    EXPECT_THAT(message_of(table_of(block_of(entry))), HasSubstr("lengths that lead out of it"));
  }
}

TEST(TableReaderDamage, HugeRestartCountsAreErrors) {
  for (const std::string& block :
       {"\0\0\0\0\xff\xff\xff\xff"s, "\0\0\0\0\0\0\0\0"s, "\0\0\0\0\x02\0\0\0"s, "\x01\0"s}) {
    EXPECT_THAT(message_of(table_of(block)), HasSubstr("a restart array at the end"));
  }
}

TEST(TableReaderDamage, ASnappyBombAllocatesNothing) {
  const std::string bomb = varint(0xffffffff) + "\x00\x61"s;
  EXPECT_THAT(message_of(table_of(with_trailer(bomb, 1), 0, bomb.size())), HasSubstr("a snappy block of at most"));
  const std::string garbage = varint(20) + "\xfe\xff\xff"s;
  EXPECT_THAT(message_of(table_of(with_trailer(garbage, 1), 0, garbage.size())), HasSubstr("do not decompress"));
  EXPECT_THAT(message_of(table_of(with_trailer("x", 7), 0, 1)),
              HasSubstr("block type 0 (none) or 1 (snappy), found 7"));
}

TEST(TableReaderDamage, KeysMustIncrease) {
  EXPECT_THAT(message_of(table_of(block_of("\0\x01\x01"s + "bv" + "\0\x01\x01"s + "av"))), HasSubstr("out of order"));
  EXPECT_THAT(message_of(table_of(block_of("\0\x01\x01"s + "av" + "\0\x01\x01"s + "av"))), HasSubstr("out of order"));
  // Behind the key "z" of the index block.
  EXPECT_THAT(message_of(table_of(block_of("\0\x02\x01"s + "zzv"))), HasSubstr("found other keys"));
}

TEST(Varint, TakesOneNumber) {
  for (const uint64_t value : {uint64_t{0}, uint64_t{127}, uint64_t{128}, uint64_t{1} << 35, ~uint64_t{0}}) {
    const std::string bytes = varint(value) + "rest";
    std::string_view view = bytes;
    EXPECT_EQ(take_varint(view), value);
    EXPECT_EQ(view, "rest");
  }
  for (const std::string& bad :
       {""s, "\x80"s, std::string(9, '\xff') + "\x02", std::string(11, '\x80') + "\0"s, "\x81\0"s}) {
    std::string_view view = bad;
    EXPECT_EQ(take_varint(view), std::nullopt);
  }
}

}  // namespace
}  // namespace lockstep
