// SPDX-License-Identifier: Apache-2.0
// TFRecord files of tf.train.Examples. The first byte chooses: the rest is the file, or, in pieces of `mode` bytes, the
// payloads of a sound one, since no fuzzer guesses a CRC.
#include <numeric>
#include <vector>

#include "core/base/check.h"
#include "io/batch_source.h"
#include "io/example.h"
#include "io/tfrecord.h"
#include "tests/fuzz/fuzz_input.h"

namespace lockstep {
namespace {

std::string framed(std::string_view payloads, size_t piece) {
  std::string file;
  for (; !payloads.empty(); payloads.remove_prefix(std::min(piece, payloads.size()))) {
    append_record(payloads.substr(0, piece), file);
  }
  return file;
}

// What was read can be written, and reads as the same.
void check_round_trip(const ExampleView& example, const ImageShape& shape) {
  std::string again;
  append_example(shape, example.label, example.image_raw, again);
  const auto read = parse_example(again);
  LOCKSTEP_CHECK(read.ok());
  LOCKSTEP_CHECK(read->image_raw == example.image_raw);
  LOCKSTEP_CHECK_EQ(read->label, example.label);
  const auto read_shape = example_shape(*read);
  LOCKSTEP_CHECK(read_shape.ok());
  LOCKSTEP_CHECK(*read_shape == shape);
}

absl::Status read_records(const std::string& path) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto reader, TfRecordReader::open(path));
  while (true) {
    std::string_view payload;
    LOCKSTEP_ASSIGN_OR_RETURN(const bool more, reader->next(&payload));
    if (!more) return absl::OkStatus();
    const auto example = parse_example(payload);
    if (!example.ok()) continue;
    const auto shape = example_shape(*example);
    if (shape.ok()) check_round_trip(*example, *shape);
  }
}

absl::Status read_dataset(const std::string& directory, int64_t memory_limit_bytes) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto data,
                            open_dataset(directory, Split::kTrain, {.memory_limit_bytes = memory_limit_bytes}));
  std::vector<int64_t> indices(static_cast<size_t>(data->size()));
  std::iota(indices.begin(), indices.end(), 0);
  std::vector<uint8_t> images(indices.size() * static_cast<size_t>(data->shape().size()));
  std::vector<int32_t> labels(indices.size());
  LOCKSTEP_CHECK(data->read(indices, images.data(), labels.data()).ok());  // all was checked when it was opened
  for (const int32_t label : labels) LOCKSTEP_CHECK_LT(label, data->label_count());
  return absl::OkStatus();
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const uint8_t mode = lockstep::take_byte(rest);
  lockstep::write_scratch_file("train.tfrecords", mode == 0 ? std::string(rest) : lockstep::framed(rest, mode));
  lockstep::read_records(lockstep::scratch_directory().file("train.tfrecords")).IgnoreError();
  lockstep::read_dataset(lockstep::scratch_directory().path(), 1 << 20).IgnoreError();
  lockstep::read_dataset(lockstep::scratch_directory().path(), 0).IgnoreError();  // not kept in memory
  return 0;
}
