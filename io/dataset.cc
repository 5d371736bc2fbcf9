// SPDX-License-Identifier: Apache-2.0
#include "io/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "core/base/check.h"
#include "core/base/file.h"
#include "io/crc32c.h"
#include "io/dataset_files.h"
#include "io/dataset_kinds.h"
#include "io/example.h"
#include "io/idx_reader.h"
#include "io/tfrecord.h"

namespace lockstep {
namespace {

template <typename T>
void extend_crc(uint32_t* crc, std::span<const T> values) {
  *crc = crc32c_extend(*crc, {reinterpret_cast<const char*>(values.data()), values.size_bytes()});
}

// What becomes of the images once they exceed the memory limit.
enum class Overflow { kRowsInTemporaryFile, kReadRecordsAgain };

// Takes the checked examples one by one: into memory up to the limit, then as `overflow` says.
class ExampleCollector {
 public:
  ExampleCollector(const DatasetOptions& options, Overflow overflow, std::string source)
      : options_(options), overflow_(overflow) {
    facts_.source = std::move(source);
  }

  // A hint: this many bytes of images are to come. Memory is only used as they arrive.
  void expect_bytes(uint64_t bytes) {
    const auto limit = static_cast<uint64_t>(std::max<int64_t>(0, options_.memory_limit_bytes));
    images_.reserve(static_cast<size_t>(std::min(bytes, limit)));
  }

  int64_t size() const { return facts_.size; }

  absl::Status add(const ImageShape& shape, const void* image, int64_t label) {
    LOCKSTEP_RETURN_IF_ERROR(check(shape, label));
    ++facts_.size;
    facts_.label_count = std::max(facts_.label_count, static_cast<int>(label) + 1);
    const auto* bytes = static_cast<const uint8_t*>(image);
    const auto label32 = static_cast<int32_t>(label);
    extend_crc<uint8_t>(&facts_.fingerprint.images_crc32c, {bytes, static_cast<size_t>(shape.size())});
    extend_crc<int32_t>(&facts_.fingerprint.labels_crc32c, {&label32, 1});
    if (resident_ && !fits_in_memory()) LOCKSTEP_RETURN_IF_ERROR(leave_memory());
    if (resident_) {
      images_.insert(images_.end(), bytes, bytes + shape.size());
      labels_.push_back(label32);
      return absl::OkStatus();
    }
    return rows_ == nullptr ? absl::OkStatus() : append_row(bytes, label32);
  }

  absl::StatusOr<std::unique_ptr<Dataset>> finish(RecordIndex index) {
    if (facts_.size == 0) return absl::DataLossError(fmt::format("{}: no examples in it", facts_.source));
    if (resident_) {
      return resident_dataset(std::move(facts_), std::move(images_), std::move(labels_));
    }
    if (overflow_ == Overflow::kReadRecordsAgain) {
      return record_dataset(std::move(facts_), std::move(index));
    }
    LOCKSTEP_RETURN_IF_ERROR(rows_->seal());
    return row_dataset(std::move(facts_), std::move(rows_));
  }

 private:
  absl::Status check(const ImageShape& shape, int64_t label) {
    if (facts_.size == 0) facts_.shape = shape;
    if (shape != facts_.shape) {
      return absl::DataLossError(fmt::format("image of {}, expected {} as in all examples before it", shape_text(shape),
                                             shape_text(facts_.shape)));
    }
    // label_count is one more than the highest label and an int.
    const int64_t limit = options_.label_limit > 0 ? options_.label_limit : std::numeric_limits<int32_t>::max();
    if (label < 0 || label >= limit) {
      return absl::DataLossError(fmt::format("label {} is out of range: expected 0 to {}", label, limit - 1));
    }
    return absl::OkStatus();
  }

  bool fits_in_memory() const {
    const int64_t example_bytes = facts_.shape.size() + static_cast<int64_t>(sizeof(int32_t));
    return facts_.size * example_bytes <= options_.memory_limit_bytes;
  }

  absl::Status leave_memory() {
    resident_ = false;
    const std::vector<uint8_t> images = std::exchange(images_, {});
    const std::vector<int32_t> labels = std::exchange(labels_, {});
    if (overflow_ == Overflow::kReadRecordsAgain) return absl::OkStatus();
    LOCKSTEP_ASSIGN_OR_RETURN(rows_, RowStore::create(facts_.shape.size() + static_cast<int64_t>(sizeof(int32_t))));
    const auto bytes = static_cast<size_t>(facts_.shape.size());
    for (size_t i = 0; i < labels.size(); ++i) LOCKSTEP_RETURN_IF_ERROR(append_row(&images[i * bytes], labels[i]));
    return absl::OkStatus();
  }

  absl::Status append_row(const uint8_t* image, int32_t label) {
    row_.assign(reinterpret_cast<const char*>(image), static_cast<size_t>(facts_.shape.size()));
    row_.append(reinterpret_cast<const char*>(&label), sizeof(label));
    return rows_->append(row_);
  }

  const DatasetOptions options_;
  const Overflow overflow_;
  DatasetFacts facts_;
  bool resident_ = true;
  std::vector<uint8_t> images_;
  std::vector<int32_t> labels_;
  std::unique_ptr<RowStore> rows_;
  std::string row_;
};

absl::Status add_record(const TfRecordReader& reader, std::string_view payload, ExampleCollector& examples) {
  const auto add = [&]() -> absl::Status {
    LOCKSTEP_ASSIGN_OR_RETURN(const ExampleView example, parse_example(payload));
    LOCKSTEP_ASSIGN_OR_RETURN(const ImageShape shape, example_shape(example));
    return examples.add(shape, example.image_raw.data(), example.label);
  };
  absl::Status status = add();
  if (status.ok()) return status;
  return annotate(
      status, fmt::format("{}: record {} at offset {}", reader.path(), reader.record_number(), reader.record_offset()));
}

absl::Status collect_shard(const std::string& path, ExampleCollector& examples, RecordIndex* index) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::unique_ptr<TfRecordReader> reader, TfRecordReader::open(path));
  if (index != nullptr) LOCKSTEP_RETURN_IF_ERROR(index->open_shard(path, examples.size()));
  while (true) {
    std::string_view payload;
    LOCKSTEP_ASSIGN_OR_RETURN(const bool found, reader->next(&payload));
    if (!found) return absl::OkStatus();
    LOCKSTEP_RETURN_IF_ERROR(add_record(*reader, payload, examples));
    if (index != nullptr) index->add_record_end(reader->record_offset() + kRecordOverheadBytes + payload.size());
  }
}

std::string source_of(const std::vector<std::string>& files) {
  if (files.size() == 1) return files.front();
  return fmt::format("{} and {} more", files.front(), files.size() - 1);
}

absl::StatusOr<std::unique_ptr<Dataset>> open_records(const std::vector<std::string>& shards,
                                                      const DatasetOptions& options) {
  bool all_plain = true;
  uint64_t plain_bytes = 0;
  for (const std::string& path : shards) {
    LOCKSTEP_ASSIGN_OR_RETURN(const Compression compression, detect_record_compression(path));
    all_plain = all_plain && compression == Compression::kNone;
    LOCKSTEP_ASSIGN_OR_RETURN(const auto file, RandomAccessFile::open(path));
    plain_bytes += file->size();
  }
  ExampleCollector examples(options, all_plain ? Overflow::kReadRecordsAgain : Overflow::kRowsInTemporaryFile,
                            source_of(shards));
  if (all_plain) examples.expect_bytes(plain_bytes);
  RecordIndex index;
  for (const std::string& path : shards) {
    LOCKSTEP_RETURN_IF_ERROR(collect_shard(path, examples, all_plain ? &index : nullptr));
  }
  return examples.finish(std::move(index));
}

absl::StatusOr<std::unique_ptr<Dataset>> open_idx_pair(const std::string& images_path, const std::string& labels_path,
                                                       const DatasetOptions& options, std::string_view note) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto pair, IdxPairReader::open(images_path, labels_path, options.label_limit));
  ExampleCollector examples(options, Overflow::kRowsInTemporaryFile, fmt::format("{}{}", images_path, note));
  const int64_t image_bytes = pair->shape().size();
  examples.expect_bytes(static_cast<uint64_t>(pair->count()) * static_cast<uint64_t>(image_bytes));
  constexpr int64_t kPieceBytes = 1 << 20;
  const int64_t piece = std::max<int64_t>(1, kPieceBytes / image_bytes);
  std::vector<uint8_t> images(static_cast<size_t>(piece * image_bytes));
  std::vector<uint8_t> labels(static_cast<size_t>(piece));
  for (int64_t done = 0; done < pair->count(); done += piece) {
    const int64_t items = std::min(piece, pair->count() - done);
    LOCKSTEP_RETURN_IF_ERROR(pair->read(items, images.data(), labels.data()));
    for (int64_t i = 0; i < items; ++i) {
      LOCKSTEP_RETURN_IF_ERROR(
          examples.add(pair->shape(), images.data() + i * image_bytes, labels[static_cast<size_t>(i)]));
    }
  }
  LOCKSTEP_RETURN_IF_ERROR(pair->finish());
  return examples.finish({});
}

}  // namespace

std::string_view split_name(Split split) {
  switch (split) {
    case Split::kTrain:
      return "train";
    case Split::kValidation:
      return "validation";
    case Split::kTest:
      return "test";
  }
  return "unknown";
}

std::unique_ptr<Dataset> make_resident_dataset(const ImageShape& shape, std::vector<uint8_t> images,
                                               std::vector<int32_t> labels, std::string source) {
  DatasetFacts facts{.size = static_cast<int64_t>(labels.size()), .shape = shape, .source = std::move(source)};
  LOCKSTEP_CHECK_EQ(static_cast<int64_t>(images.size()), facts.size * shape.size());
  for (const int32_t label : labels) facts.label_count = std::max(facts.label_count, label + 1);
  extend_crc<uint8_t>(&facts.fingerprint.images_crc32c, images);
  extend_crc<int32_t>(&facts.fingerprint.labels_crc32c, labels);
  return resident_dataset(std::move(facts), std::move(images), std::move(labels));
}

absl::StatusOr<std::unique_ptr<Dataset>> open_dataset(const std::string& directory, Split split,
                                                      const DatasetOptions& options) {
  LOCKSTEP_ASSIGN_OR_RETURN(const DatasetFiles files, find_dataset_files(directory, split));
  if (!files.shards.empty()) return open_records(files.shards, options);
  const bool train = split == Split::kTrain;
  return open_idx_pair(files.images, files.labels, options,
                       train ? " (all of it: only `lockstep records create` sets a validation part aside)" : "");
}

}  // namespace lockstep
