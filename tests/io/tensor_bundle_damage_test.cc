// SPDX-License-Identifier: Apache-2.0
// Bundles whose index is a sound table with wrong contents: what no CRC can find.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <functional>
#include <limits>

#include "io/crc32c.h"
#include "io/proto/tensor_bundle.pb.h"
#include "io/tensor_bundle.h"
#include "tests/io/table_fixture.h"
#include "tests/support/damage.h"
#include "tests/support/fault_file.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

// Two tensors of three floats each, "a" and "b", in one shard, to be spoilt.
struct Bundle {
  proto::BundleHeaderProto header;
  proto::BundleEntryProto a, b;
  std::string data = std::string(24, '\x11');
  bool snappy = false;

  Bundle() {
    header.set_num_shards(1);
    header.mutable_version()->set_producer(1);
    for (auto* entry : {&a, &b}) {
      entry->set_dtype(proto::DT_FLOAT);
      entry->mutable_shape()->add_dim()->set_size(3);
      entry->set_size(12);
      entry->set_crc32c(masked_crc32c(data.substr(0, 12)));
    }
    b.set_offset(12);
  }

  std::vector<std::pair<std::string, std::string>> entries() const {
    return {{"", header.SerializeAsString()}, {"a", a.SerializeAsString()}, {"b", b.SerializeAsString()}};
  }
};

// The error of opening, or of reading tensor `a`.
std::string error_of(const Bundle& bundle) {
  const TmpDir dir;
  spill(dir.file("m.index"), make_table(bundle.entries(), {.snappy = bundle.snappy}));
  spill(dir.file("m.data-00000-of-00001"), bundle.data);
  const auto reader = TensorBundleReader::open(dir.file("m"));
  if (!reader.ok()) return std::string(reader.status().message());
  std::vector<float> values(3);
  return std::string((*reader)->read("a", values).message());
}

TEST(TensorBundleDamage, TheUnspoiltBundleIsSound) {
  Bundle bundle;
  EXPECT_EQ(error_of(bundle), "");
  bundle.snappy = true;
  EXPECT_EQ(error_of(bundle), "");
}

struct Case {
  std::string name;
  std::function<void(Bundle&)> spoil;
  std::string message;
};

std::string case_name(const testing::TestParamInfo<Case>& spoilt) { return spoilt.param.name; }

class SpoiltBundle : public testing::TestWithParam<Case> {};

TEST_P(SpoiltBundle, IsRefusedWithItsReason) {
  Bundle bundle;
  GetParam().spoil(bundle);
  EXPECT_THAT(error_of(bundle), HasSubstr(GetParam().message));
}

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

INSTANTIATE_TEST_SUITE_P(
    All, SpoiltBundle,
    testing::Values(
        Case{"NoShards", [](Bundle& b) { b.header.set_num_shards(0); }, "expected 1 to 1024 shards, found 0"},
        Case{"ManyShards", [](Bundle& b) { b.header.set_num_shards(1 << 30); }, "expected 1 to 1024 shards"},
        Case{"MissingShard", [](Bundle& b) { b.header.set_num_shards(2); }, "needs its data file"},
        Case{"BigEndian", [](Bundle& b) { b.header.set_endianness(proto::BundleHeaderProto::BIG); }, "little-endian"},
        Case{"NewVersion", [](Bundle& b) { b.header.mutable_version()->set_min_consumer(2); }, "reader of version 2"},
        Case{"ShardOutOfRange", [](Bundle& b) { b.a.set_shard_id(1); }, "tensor `a`: shard 1 of 1"},
        Case{"NegativeShard", [](Bundle& b) { b.a.set_shard_id(-1); }, "or shard -1"},
        Case{"NegativeOffset", [](Bundle& b) { b.a.set_offset(-12); }, "negative offset -12"},
        Case{"NegativeSize", [](Bundle& b) { b.a.set_size(-12); }, "size -12"},
        Case{"HugeOffset", [](Bundle& b) { b.b.set_offset(kHuge); }, "expected 9223372036854775819 bytes"},
        Case{"Overlap", [](Bundle& b) { b.b.set_offset(11); }, "tensor `b` at offset 11 of the data overlaps"},
        Case{"SizeAgainstShape", [](Bundle& b) { b.a.set_size(8); }, "float32 (3) does not fit its 8 bytes"},
        Case{"HugeDimension", [](Bundle& b) { b.a.mutable_shape()->mutable_dim(0)->set_size(kHuge); }, "does not fit"},
        Case{"NegativeDimension", [](Bundle& b) { b.a.mutable_shape()->mutable_dim(0)->set_size(-1); }, "float32 (-1)"},
        Case{"ProductOverflow",
             [](Bundle& b) {
               for (int i = 0; i < 3; ++i) b.a.mutable_shape()->add_dim()->set_size(int64_t{1} << 32);
             },
             "does not fit its 12 bytes"},
        Case{"UnknownRank", [](Bundle& b) { b.a.mutable_shape()->set_unknown_rank(true); }, "a known shape"},
        Case{"ManyDimensions",
             [](Bundle& b) {
               for (int i = 0; i < 255; ++i) b.a.mutable_shape()->add_dim()->set_size(1);
             },
             "at most 254 dimensions"},
        Case{"Partitioned", [](Bundle& b) { b.a.add_slices("x"); }, "tensor `a`: a partitioned variable"},
        Case{"OtherType", [](Bundle& b) { b.a.set_dtype(proto::DT_INT32); }, "expected float32, found int32 (3)"},
        Case{"TypeOfAnotherSize", [](Bundle& b) { b.a.set_dtype(static_cast<proto::DataType>(14)); },
             "bfloat16 (3) does not fit its 12 bytes"},
        Case{"UnknownType", [](Bundle& b) { b.a.set_dtype(static_cast<proto::DataType>(99)); },
             "expected float32, found type 99 (3)"},
        Case{"Crc", [](Bundle& b) { b.a.set_crc32c(1); }, "tensor `a` at offset 0: expected masked CRC 00000001"},
        Case{"TrailingData", [](Bundle& b) { b.data += 'x'; }, "expected 24 bytes"}),
    case_name);

TEST(TensorBundleDamage, EntriesThatAreNoProtobufAreNamed) {
  const TmpDir dir;
  Bundle bundle;
  spill(dir.file("m.data-00000-of-00001"), bundle.data);
  auto entries = bundle.entries();
  const auto message = [&] {
    spill(dir.file("m.index"), make_table(entries));
    return std::string(TensorBundleReader::open(dir.file("m")).status().message());
  };
  entries[2].second = "\xff\xff";
  EXPECT_THAT(message(), HasSubstr("tensor `b`: expected a BundleEntryProto"));
  entries[0].second = "\xff";
  EXPECT_THAT(message(), HasSubstr("header entry: expected a BundleHeaderProto"));
  entries.erase(entries.begin());
  EXPECT_THAT(message(), HasSubstr("expected the bundle header first, found `a`"));
  entries.clear();
  EXPECT_THAT(message(), HasSubstr("expected the bundle header first, found nothing"));
}

TEST(TensorBundleDamage, SeveralShardsAreRead) {
  const TmpDir dir;
  Bundle bundle;
  bundle.header.set_num_shards(2);
  bundle.b.set_shard_id(1);
  bundle.b.set_offset(0);
  spill(dir.file("m.index"), make_table(bundle.entries()));
  for (int shard = 0; shard < 2; ++shard) {
    spill(dir.file(fmt::format("m.data-0000{}-of-00002", shard)), bundle.data.substr(0, 12));
  }
  const auto reader = TensorBundleReader::open(dir.file("m"));
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::vector<float> values(3);
  EXPECT_TRUE((*reader)->read("b", values).ok());
}

// Layout: varint lengths, masked CRC of the lengths as uint32, the strings; the entry's CRC goes over all of it.
class StringTensor : public testing::Test {
 protected:
  StringTensor() {
    const auto fixed32 = [](uint32_t v) { return std::string(reinterpret_cast<const char*>(&v), 4); };
    uint32_t crc = crc32c(fixed32(3) + fixed32(0) + fixed32(2));
    const std::string stored = fixed32(mask_crc32c(crc));
    data_ = std::string("\x03\x00\x02", 3) + stored + "abcde";
    crc = crc32c_extend(crc, stored + "abcde");
    entry_.set_dtype(proto::DT_STRING);
    entry_.mutable_shape()->add_dim()->set_size(3);
    entry_.set_size(static_cast<int64_t>(data_.size()));
    entry_.set_crc32c(mask_crc32c(crc));
  }

  absl::StatusOr<std::vector<std::string>> read(const std::string& data) const {
    Bundle bundle;
    spill(dir_.file("m.data-00000-of-00001"), data);
    spill(dir_.file("m.index"),
          make_table({{"", bundle.header.SerializeAsString()}, {"s", entry_.SerializeAsString()}}));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto reader, TensorBundleReader::open(dir_.file("m")));
    return reader->read_strings("s");
  }

  const TmpDir dir_;
  proto::BundleEntryProto entry_;
  std::string data_;
};

TEST_F(StringTensor, IsRead) {
  const auto strings = read(data_);
  ASSERT_TRUE(strings.ok()) << strings.status();
  EXPECT_THAT(*strings, testing::ElementsAre("abc", "", "de"));
}

TEST_F(StringTensor, AnyFlippedBitIsFound) {
  for_each_bit_flip(data_, [&](const std::string& damaged, size_t bit) {
    EXPECT_TRUE(absl::IsDataLoss(read(damaged).status())) << bit;
  });
}

TEST_F(StringTensor, CountsAndLengthsBeyondTheBytesAreErrors) {
  entry_.mutable_shape()->mutable_dim(0)->set_size(int64_t{1} << 40);
  EXPECT_THAT(std::string(read(data_).status().message()), HasSubstr("fewer bytes than strings"));
  entry_.mutable_shape()->mutable_dim(0)->set_size(10);
  EXPECT_TRUE(absl::IsDataLoss(read(data_).status()));
}

}  // namespace
}  // namespace lockstep
