// SPDX-License-Identifier: Apache-2.0
#include "io/dataset_kinds.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "io/example.h"
#include "io/tfrecord.h"

namespace lockstep {
namespace {

class DatasetBase : public Dataset {
 public:
  explicit DatasetBase(DatasetFacts facts) : facts_(std::move(facts)) {}
  int64_t size() const override { return facts_.size; }
  ImageShape shape() const override { return facts_.shape; }
  int label_count() const override { return facts_.label_count; }
  DatasetFingerprint fingerprint() const override { return facts_.fingerprint; }

  absl::Status read(std::span<const int64_t> indices, uint8_t* images, int32_t* labels) const override {
    for (const int64_t index : indices) {
      LOCKSTEP_CHECK_GE(index, 0);
      LOCKSTEP_CHECK_LT(index, size());
      LOCKSTEP_RETURN_IF_ERROR(read_one(index, images, labels));
      images += facts_.shape.size();
      ++labels;
    }
    return absl::OkStatus();
  }

 protected:
  virtual absl::Status read_one(int64_t index, uint8_t* image, int32_t* label) const = 0;
  std::string describe_as(std::string_view how) const {
    return fmt::format("{}: {} examples of {} from {}", how, facts_.size, shape_text(facts_.shape), facts_.source);
  }

  const DatasetFacts facts_;
};

class ResidentDataset : public DatasetBase {
 public:
  ResidentDataset(DatasetFacts facts, std::vector<uint8_t> images, std::vector<int32_t> labels)
      : DatasetBase(std::move(facts)), images_(std::move(images)), labels_(std::move(labels)) {}
  std::string describe() const override { return describe_as("resident"); }

 protected:
  absl::Status read_one(int64_t index, uint8_t* image, int32_t* label) const override {
    const auto bytes = static_cast<size_t>(facts_.shape.size());
    std::memcpy(image, images_.data() + static_cast<size_t>(index) * bytes, bytes);
    *label = labels_[static_cast<size_t>(index)];
    return absl::OkStatus();
  }

 private:
  const std::vector<uint8_t> images_;
  const std::vector<int32_t> labels_;
};

// Rows of the image followed by its label.
class RowDataset : public DatasetBase {
 public:
  RowDataset(DatasetFacts facts, std::unique_ptr<RowStore> rows)
      : DatasetBase(std::move(facts)), rows_(std::move(rows)) {}
  std::string describe() const override { return describe_as("streamed through a temporary file"); }

 protected:
  absl::Status read_one(int64_t index, uint8_t* image, int32_t* label) const override {
    std::string row(static_cast<size_t>(rows_->row_bytes()), '\0');
    LOCKSTEP_RETURN_IF_ERROR(rows_->read(index, row.data()));
    const auto bytes = static_cast<size_t>(facts_.shape.size());
    std::memcpy(image, row.data(), bytes);
    std::memcpy(label, row.data() + bytes, sizeof(*label));
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<RowStore> rows_;
};

class RecordDataset : public DatasetBase {
 public:
  RecordDataset(DatasetFacts facts, RecordIndex index) : DatasetBase(std::move(facts)), index_(std::move(index)) {}
  std::string describe() const override { return describe_as("streamed"); }

 protected:
  absl::Status read_one(int64_t index, uint8_t* image, int32_t* label) const override {
    std::string scratch;
    LOCKSTEP_ASSIGN_OR_RETURN(const std::string_view payload, index_.read(index, scratch));
    LOCKSTEP_ASSIGN_OR_RETURN(const ExampleView example, parse_example(payload));
    // The CRC is that of the length-checked record seen at open, unless the file was exchanged since.
    if (static_cast<int64_t>(example.image_raw.size()) != facts_.shape.size() || example.label < 0 ||
        example.label >= facts_.label_count) {
      return absl::DataLossError(fmt::format("{}: example {} changed since the file was opened", facts_.source, index));
    }
    std::memcpy(image, example.image_raw.data(), example.image_raw.size());
    *label = static_cast<int32_t>(example.label);
    return absl::OkStatus();
  }

 private:
  const RecordIndex index_;
};

}  // namespace

std::string shape_text(const ImageShape& shape) {
  return fmt::format("{}x{}x{}", shape.height, shape.width, shape.depth);
}

absl::Status RecordIndex::open_shard(const std::string& path, int64_t first_record) {
  LOCKSTEP_ASSIGN_OR_RETURN(auto file, RandomAccessFile::open(path));
  shards.push_back({std::move(file), first_record, {0}});
  return absl::OkStatus();
}

absl::StatusOr<std::string_view> RecordIndex::read(int64_t index, std::string& scratch) const {
  const auto after = std::upper_bound(shards.begin(), shards.end(), index,
                                      [](int64_t i, const Shard& shard) { return i < shard.first_record; });
  const Shard& shard = *std::prev(after);
  const auto record = static_cast<size_t>(index - shard.first_record);
  const uint64_t begin = shard.offsets[record];
  const uint64_t payload_bytes = shard.offsets[record + 1] - begin - kRecordOverheadBytes;
  return read_record_at(*shard.file, begin, payload_bytes, scratch);
}

std::unique_ptr<Dataset> resident_dataset(DatasetFacts facts, std::vector<uint8_t> images,
                                          std::vector<int32_t> labels) {
  return std::make_unique<ResidentDataset>(std::move(facts), std::move(images), std::move(labels));
}

std::unique_ptr<Dataset> row_dataset(DatasetFacts facts, std::unique_ptr<RowStore> rows) {
  return std::make_unique<RowDataset>(std::move(facts), std::move(rows));
}

std::unique_ptr<Dataset> record_dataset(DatasetFacts facts, RecordIndex index) {
  return std::make_unique<RecordDataset>(std::move(facts), std::move(index));
}

}  // namespace lockstep
