// SPDX-License-Identifier: Apache-2.0
// Tensor bundles. First byte even: the rest is the index, its CRCs put right, of a data file of 64 zeros. Odd: the rest
// is the data of one string tensor with `byte / 2` strings, described by a sound index.
#include <cstring>
#include <vector>

#include "core/base/check.h"
#include "io/crc32c.h"
#include "io/proto/tensor_bundle.pb.h"
#include "io/table_reader.h"
#include "io/tensor_bundle.h"
#include "io/varint.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/sound_table.h"
#include "tests/io/table_fixture.h"

namespace lockstep {
namespace {

constexpr char kIndex[] = "model.ckpt.index", kData[] = "model.ckpt.data-00000-of-00001";
constexpr size_t kDataBytes = 64;

absl::Status read_bundle() {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto reader, TensorBundleReader::open(scratch_directory().file("model.ckpt")));
  for (const auto& [name, entry] : reader->entries()) {
    LOCKSTEP_CHECK_LE(entry.size_bytes, uint64_t{1} << 20);  // lies inside the data file
    if (entry.dtype == TensorDtype::kString) {
      reader->read_strings(name).IgnoreError();
      continue;
    }
    std::vector<char> bytes(entry.size_bytes);
    reader->read_bytes(name, bytes).IgnoreError();
    reader->read_int64(name).IgnoreError();
  }
  return reader->find("conv2d/kernels").status();
}

// Puts the two CRCs over the lengths of `count` strings right, in *data and in the result, where there is room.
uint32_t make_strings_sound(uint64_t count, std::string* data) {
  std::string_view rest = *data;
  uint32_t crc = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const auto length = take_varint(rest);
    if (!length) return 0;
    crc = crc32c_extend(crc, {reinterpret_cast<const char*>(&*length), *length <= UINT32_MAX ? 4u : 8u});
  }
  if (rest.size() < sizeof(crc)) return 0;
  const uint32_t masked = mask_crc32c(crc);
  std::memcpy(data->data() + (data->size() - rest.size()), &masked, sizeof(masked));
  return mask_crc32c(crc32c_extend(crc, rest));
}

void write_string_bundle(uint64_t count, std::string data) {
  proto::BundleHeaderProto header;
  header.set_num_shards(1);
  header.mutable_version()->set_producer(1);
  proto::BundleEntryProto entry;
  entry.set_dtype(proto::DT_STRING);
  entry.mutable_shape()->add_dim()->set_size(static_cast<int64_t>(count));
  entry.set_size(static_cast<int64_t>(data.size()));
  entry.set_crc32c(make_strings_sound(count, &data));
  write_scratch_file(kIndex, make_table({{"", header.SerializeAsString()}, {"text", entry.SerializeAsString()}}));
  write_scratch_file(kData, data);
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const uint8_t mode = lockstep::take_byte(rest);
  if (mode % 2 == 1) {
    lockstep::write_string_bundle(mode / 2, std::string(rest));
  } else {
    lockstep::write_scratch_file(lockstep::kIndex, lockstep::with_sound_block_crcs(std::string(rest)));
    lockstep::write_scratch_file(lockstep::kData, std::string(lockstep::kDataBytes, '\0'));
  }
  lockstep::read_bundle().IgnoreError();
  return 0;
}
