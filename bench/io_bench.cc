// SPDX-License-Identifier: Apache-2.0
// Reading and writing training data: records with CRC and decoding, IDX inflation, `records create`.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/row_reporter.h"
#include "core/base/check.h"
#include "io/batch_source.h"
#include "io/crc32c.h"
#include "io/example.h"
#include "io/gzip_reader.h"
#include "io/records_command.h"
#include "io/tfrecord.h"

namespace lockstep {
namespace {

const std::string kMnist = std::string(LOCKSTEP_SOURCE_DIR) + "/data/mnist";

// The records of MNIST, written once and removed at exit.
class RecordsDirectory {
 public:
  RecordsDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "lockstep_io_bench_XXXXXX").string();
    LOCKSTEP_CHECK(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
    LOCKSTEP_CHECK(create_records({.source = kMnist, .directory = path_}).ok());
  }
  ~RecordsDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

const std::string& records_directory() {
  static const RecordsDirectory directory;
  return directory.path();
}

constexpr int64_t kTrainImages = 55000, kAllImages = 70000;

// Of one iteration.
template <typename Bytes>
void count(benchmark::State& state, Bytes bytes, int64_t images = 0) {
  state.counters["bytes"] = static_cast<double>(bytes);
  state.counters["images"] = static_cast<double>(images);
}

int64_t file_bytes(const std::string& path) { return static_cast<int64_t>(std::filesystem::file_size(path)); }

void crc32c_of_a_record(benchmark::State& state) {
  const std::string payload(875, 'x');
  for (auto _ : state) benchmark::DoNotOptimize(crc32c(payload));
  count(state, payload.size());
}
BENCHMARK(crc32c_of_a_record)->Name("crc32c/875 bytes");

// Goal: 1 GB/s on one core. Reading, both CRCs, parsing and copying the pixels out.
void tfrecord_read_crc_decode(benchmark::State& state) {
  const std::string path = records_directory() + "/train.tfrecords";
  std::vector<uint8_t> images(784);
  int64_t labels = 0;
  for (auto _ : state) {
    const auto reader = TfRecordReader::open(path).value();
    std::string_view payload;
    while (reader->next(&payload).value()) {
      const ExampleView example = parse_example(payload).value();
      LOCKSTEP_CHECK_EQ(example_shape(example)->size(), 784);
      std::copy(example.image_raw.begin(), example.image_raw.end(), images.begin());
      benchmark::DoNotOptimize(images.data());
      labels += example.label;
    }
  }
  benchmark::DoNotOptimize(labels);
  count(state, file_bytes(path), kTrainImages);
}
BENCHMARK(tfrecord_read_crc_decode)->Name("read records, CRC, decode/train.tfrecords");

void open_resident_dataset(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(open_dataset(records_directory(), Split::kTrain, {}).value()->size());
  count(state, file_bytes(records_directory() + "/train.tfrecords"), kTrainImages);
}
BENCHMARK(open_resident_dataset)->Name("open a resident data set/train.tfrecords");

void shuffled_batches(benchmark::State& state, int64_t memory_limit_bytes) {
  const auto dataset =
      open_dataset(records_directory(), Split::kTrain, {.memory_limit_bytes = memory_limit_bytes}).value();
  constexpr int64_t kBatch = 100;
  std::vector<uint8_t> images(static_cast<size_t>(kBatch * dataset->shape().size()));
  std::vector<int32_t> labels(kBatch);
  const auto order = training_order(0, dataset->size(), dataset->size(), 1, true);
  size_t at = 0;
  for (auto _ : state) {
    LOCKSTEP_CHECK(dataset->read({order.data() + at, kBatch}, images.data(), labels.data()).ok());
    at = (at + kBatch) % order.size();
  }
  count(state, kBatch * dataset->shape().size(), kBatch);
}
BENCHMARK_CAPTURE(shuffled_batches, streamed, 0)->Name("shuffled batch/100 streamed");
BENCHMARK_CAPTURE(shuffled_batches, resident, 1 << 30)->Name("shuffled batch/100 resident");

int64_t inflate_whole(const std::string& path, std::vector<char>& buffer) {
  const auto reader = GzipReader::open(path).value();
  while (reader->read(buffer.data(), buffer.size()).value() == buffer.size()) {
  }
  return static_cast<int64_t>(reader->output_offset());
}

int64_t inflate_all_idx_files() {
  std::vector<char> buffer(1 << 20);
  int64_t bytes = 0;
  for (const char* stem : {"train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"}) {
    bytes += inflate_whole(kMnist + "/" + stem + "-ubyte.gz", buffer);
  }
  return bytes;
}

void idx_inflate(benchmark::State& state) {
  int64_t bytes = 0;
  for (auto _ : state) bytes = inflate_all_idx_files();
  count(state, bytes, kAllImages);
}
BENCHMARK(idx_inflate)->Name("inflate IDX/70000 images")->UseRealTime();

// Bound by idx_inflate above: encoding and writing run beside it. Into a new directory each time, as a user does first:
// replacing files of an earlier run costs the system some more milliseconds for freeing those.
void records_create(benchmark::State& state) {
  const std::string directory = records_directory() + "/again";
  for (auto _ : state) {
    state.PauseTiming();
    LOCKSTEP_CHECK(remove_tree(directory).ok());
    state.ResumeTiming();
    LOCKSTEP_CHECK(create_records({.source = kMnist, .directory = directory}).ok());
  }
  int64_t bytes = 0;
  for (const char* split : {"train", "validation", "test"}) bytes += file_bytes(directory + "/" + split + ".tfrecords");
  count(state, bytes, kAllImages);
}
BENCHMARK(records_create)->Name("records create/70000 images")->UseRealTime();

void epoch_permutation(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(training_order(0, 55000, 55000, 1, true).data());
  count(state, 0, kTrainImages);
}
BENCHMARK(epoch_permutation)->Name("order of an epoch/55000 images");

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  return lockstep::run_benchmarks(argc, argv, {.bench = "io", .backend = "", .dtype = "uint8"});
}
